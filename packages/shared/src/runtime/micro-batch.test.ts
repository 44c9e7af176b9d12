import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type MicroBatchPorts, microBatch, SINGLE_ROW } from './micro-batch.ts'
import { takeTurns } from './turns.ts'

/** Doubles numbers; a negative number fails its micro-batch. */
function doubling(ports: Partial<MicroBatchPorts<number, number>> = {}) {
  const batches: number[][] = []
  const errors: unknown[] = []
  const run = async (keys: readonly number[]) => {
    batches.push([...keys])
    await delay(5)
    if (keys.some((key) => key < 0)) throw new Error(`negative among ${keys}`)
    return keys.map((key) => (key === 13 ? new Error('unlucky') : key * 2))
  }
  const double = microBatch({ run, onError: (error) => errors.push(error), sizeMax: 3, everyMs: 0, ...ports })
  return { double, batches, errors }
}

describe('a micro-batch', () => {
  it('carries together what is asked for at the same time, and gives each its own answer', async () => {
    const { double, batches } = doubling()
    expect(await Promise.all([double(1), double(2), double(3)])).toEqual([2, 4, 6])
    expect(batches).toEqual([[1, 2, 3]])
  })

  it('gathers while another is under way, one after the other, none larger than its bound', async () => {
    const { double, batches } = doubling()
    const first = double(1)
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    const others = [2, 3, 4, 5, 6].map(double)
    expect(batches).toEqual([[1]])
    expect(await Promise.all([first, ...others])).toEqual([2, 4, 6, 8, 10, 12])
    expect(batches).toEqual([[1], [2, 3, 4], [5, 6]])
  })

  it('leaves those that come one by one, while another is under way, to the one after it', async () => {
    const { double, batches } = doubling()
    const answers: Promise<number>[] = []
    for (const number of [1, 2, 3, 4]) {
      answers.push(double(number))
      await new Promise(setImmediate)
      await new Promise(setImmediate)
    }
    expect(batches).toEqual([[1]])
    expect(await Promise.all(answers)).toEqual([2, 4, 6, 8])
    expect(batches).toEqual([[1], [2, 3, 4]])
  })

  it('waits for company since the last one began, and not when that is long ago', async () => {
    const { double, batches } = doubling({ everyMs: 100 })
    const startedAt = performance.now()
    await double(1)
    expect(performance.now() - startedAt).toBeLessThan(90)
    await Promise.all([double(2), delay(20).then(() => double(3))])
    expect(batches).toEqual([[1], [2, 3]])
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(99)
  })

  it('rejects for one alone what went wrong with it alone', async () => {
    const { double } = doubling()
    const [one, other] = await Promise.allSettled([double(13), double(1)])
    expect([one?.status, other]).toEqual(['rejected', { status: 'fulfilled', value: 2 }])
  })

  it('that fails is tried one by one, and says why', async () => {
    const runSingleRow = async (key: number) => {
      if (key < 0) throw new Error('negative')
      return key * 2
    }
    const { double, errors } = doubling({ singleRow: { run: runSingleRow, turns: takeTurns(5) } })
    const results = await Promise.allSettled([double(1), double(-1), double(2)])
    expect(results.map((one) => one.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(errors).toEqual([new Error('negative among 1,-1,2')])
    expect(await double(3)).toBe(6)
  })

  it('that fails takes few connections at once: its keys wait for their turns', async () => {
    let running = 0
    let most = 0
    const run = async (key: number) => {
      most = Math.max(most, ++running)
      await delay(2)
      running -= 1
      return key
    }
    const { double } = doubling({ sizeMax: 50, singleRow: { run, turns: takeTurns(3) } })
    const keys = Array.from({ length: 50 }, (_, index) => -index)
    expect(await Promise.all(keys.map(double))).toEqual(keys)
    expect(most).toBe(3)
  })

  it('handles rows that need a closer look one by one, and no other row waits for them', async () => {
    let release: () => void = () => undefined
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const double = microBatch<number, number>({
      run: async (keys) => keys.map((key) => (key === 7 ? SINGLE_ROW : key * 2)),
      singleRow: {
        run: async (key) => {
          await released
          return key * 3
        },
        turns: takeTurns(1),
      },
      onError: () => expect.unreachable(),
      sizeMax: 10,
      everyMs: 0,
    })
    const singleRow = double(7)
    expect(await Promise.all([double(1), double(2)])).toEqual([2, 4])
    expect(await double(3)).toBe(6)
    release()
    expect(await singleRow).toBe(21)
  })

  it('that hangs holds up the next one for a second at the most', async () => {
    let batches = 0
    const double = microBatch<number, number>({
      run: (keys) => (++batches === 1 ? new Promise(() => undefined) : Promise.resolve(keys.map((key) => key * 2))),
      onError: () => expect.unreachable(),
      sizeMax: 10,
      everyMs: 0,
    })
    double(1).catch(() => undefined)
    await delay(20)
    expect(await double(2)).toBe(4)
  })

  it('that fails for a reason common to all fails as a whole, and the next one runs', async () => {
    const runSingleRow = async () => expect.unreachable()
    const { double, errors } = doubling({ singleRow: { run: runSingleRow, turns: takeTurns(1) }, isCommon: () => true })
    const results = await Promise.allSettled([double(1), double(-1)])
    expect(results.map((one) => one.status)).toEqual(['rejected', 'rejected'])
    expect(errors).toEqual([])
    expect(await double(3)).toBe(6)
  })
})
