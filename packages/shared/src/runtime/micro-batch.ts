// Micro-batches: concurrent callers share one statement and one commit. A micro-batch holds the calls made since the previous
// micro-batch began. Where calls are rare, a single call is not delayed; where calls are frequent, one statement carries many.
// Micro-batches run one at a time: concurrent micro-batches would be smaller and cost Postgres 1.5 times as much per row.

import { setTimeout as delay } from 'node:timers/promises'
import DataLoader from 'dataloader'
import { withTimeout } from './clock.ts'
import type { Turns } from './turns.ts'

/** The answer for a key that needs a closer look: the single-row fallback carries the key out, and the micro-batch does not wait. */
export const SINGLE_ROW = Symbol('single row')

export interface MicroBatchPorts<Key, Value> {
  /** Returns one answer per key, in the order of the keys; an Error where a single key failed. */
  readonly run: (keys: readonly Key[]) => Promise<readonly (Value | Error | typeof SINGLE_ROW)[]>
  /**
   * The single-row fallback: for keys answered with ALONE, and for every key when `run` throws, so that one bad key cannot fail the rest.
   * `turns` bounds the concurrency, because each fallback takes a connection.
   */
  readonly singleRow?: { readonly run: (key: Key) => Promise<Value>; readonly turns: Turns }
  /** Whether a failure affects every key alike (such as Postgres away), so that the single-row fallback would only add load. */
  readonly isCommon?: (error: unknown) => boolean
  /** Receives the error of a micro-batch whose keys then go to the single-row fallback. */
  readonly onError: (error: unknown) => void
  readonly sizeMax: number
  /** Least time between the beginnings of two micro-batches: with a longer time more calls share a statement. */
  readonly everyMs: number
}

/** The next micro-batch waits at most this long for a hanging micro-batch. */
const WAIT_MAX_MS = 1_000

/** @returns a function for a single key; concurrent calls share a micro-batch, and each call rejects only for the failure of its own key */
export function microBatch<Key, Value>(ports: MicroBatchPorts<Key, Value>): (key: Key) => Promise<Value> {
  const { run, singleRow, isCommon = () => false, onError, sizeMax, everyMs } = ports
  /** Resolves when every micro-batch so far has begun, and the latest has ended or hangs. */
  let tail: Promise<unknown> = Promise.resolve()
  let latest: Promise<unknown> = tail
  let nextAt = 0

  async function runAll(keys: readonly Key[]): Promise<readonly (Value | Error | typeof SINGLE_ROW)[]> {
    try {
      return await run(keys)
    } catch (error) {
      if (!singleRow || isCommon(error)) throw error
      onError(error)
      return keys.map(() => SINGLE_ROW)
    }
  }

  const loader = new DataLoader<Key, Value | typeof SINGLE_ROW>(
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
          // A turn of the event loop, so that calls just read from sockets or just released by the last micro-batch join.
          await new Promise(setImmediate)
          nextAt = performance.now() + everyMs
          dispatch()
          // A hanging micro-batch fails or ends for its own callers; the next micro-batch does not wait for the end.
          await withTimeout(latest, WAIT_MAX_MS, 'a batch').catch(() => undefined)
        })
      },
    },
  )
  return async (key) => {
    const value = await loader.load(key)
    if (value !== SINGLE_ROW) return value
    if (!singleRow) throw new Error('a batch left a key alone that nobody carries out alone')
    return await singleRow.turns(() => singleRow.run(key))
  }
}
