// Micro-batches: what concurrent callers ask for shares one statement and one commit. A batch is what has come together since the
// one before it began, and that is a while ago where calls are rare: a single call is not delayed, and many are carried together.
// One at a time: several beside each other are smaller, and cost Postgres half as much again for each row.

import { setTimeout as delay } from 'node:timers/promises'
import DataLoader from 'dataloader'
import { withTimeout } from './clock.ts'
import type { Turns } from './turns.ts'

/** The answer for a key that needs a closer look than its batch can give: it is carried out by itself, and holds up nobody. */
export const ALONE = Symbol('alone')

export interface MicroBatchPorts<Key, Value> {
  /** One answer for each key, in their order; an Error where only that one went wrong. */
  readonly run: (keys: readonly Key[]) => Promise<readonly (Value | Error | typeof ALONE)[]>
  /**
   * Carries out one by itself: when `run` says so, and all of a batch that has failed, for one must not take the others along.
   * `turns`: few of them at once, since each takes a connection.
   */
  readonly alone?: { readonly run: (key: Key) => Promise<Value>; readonly turns: Turns }
  /** Whether a failure concerns all alike, so that trying one by one would only add to it. */
  readonly isCommon?: (error: unknown) => boolean
  /** Hears why a batch failed whose keys are then tried one by one. */
  readonly onError: (error: unknown) => void
  readonly sizeMax: number
  /** From the beginning of a batch to that of the next, at the least: longer, and more share the cost. */
  readonly everyMs: number
}

/** The next batch waits no longer for one that hangs. */
const WAIT_MAX_MS = 1_000

/** @returns a function for one key, whose calls are carried out together; it rejects for what became of that key alone */
export function microBatch<Key, Value>(ports: MicroBatchPorts<Key, Value>): (key: Key) => Promise<Value> {
  const { run, alone, isCommon = () => false, onError, sizeMax, everyMs } = ports
  /** Ends when every batch so far has begun, and the latest has ended or hangs. */
  let tail: Promise<unknown> = Promise.resolve()
  let latest: Promise<unknown> = tail
  let nextAt = 0

  async function runAll(keys: readonly Key[]): Promise<readonly (Value | Error | typeof ALONE)[]> {
    try {
      return await run(keys)
    } catch (error) {
      if (!alone || isCommon(error)) throw error
      onError(error)
      return keys.map(() => ALONE)
    }
  }

  const loader = new DataLoader<Key, Value | typeof ALONE>(
    (keys) => {
      const running = runAll(keys)
      latest = running.catch(() => undefined)
      return running
    },
    {
      cache: false,
      maxBatchSize: sizeMax,
      batchScheduleFn: (dispatch) => {
        tail = tail.then(async () => {
          const waitMs = nextAt - performance.now()
          if (waitMs > 0) await delay(waitMs)
          // A turn of the event loop, in which those come along that were read just now, or whose last batch has just ended.
          await new Promise(setImmediate)
          nextAt = performance.now() + everyMs
          dispatch()
          // One that hangs fails or ends for its own callers; the next does not wait for it.
          await withTimeout(latest, WAIT_MAX_MS, 'a batch').catch(() => undefined)
        })
      },
    },
  )
  return async (key) => {
    const value = await loader.load(key)
    if (value !== ALONE) return value
    if (!alone) throw new Error('a batch left a key alone that nobody carries out alone')
    return await alone.turns(() => alone.run(key))
  }
}
