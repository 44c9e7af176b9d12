import { afterEach, describe, expect, it, vi } from 'vitest'
import { createBacklogLimit } from './backlog-limit.ts'

afterEach(() => vi.restoreAllMocks())

/** A limit of ten; the test decides when a count finishes. */
function counted() {
  let now = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  const counts: ((waiting: number) => void)[] = []
  const limit = createBacklogLimit(10, () => new Promise((resolve) => counts.push(resolve)))
  return {
    take: () => limit.take('prj'),
    counts,
    pass: (ms: number) => {
      now += ms
    },
  }
}

describe('the limit of a backlog', () => {
  it('holds for requests of the same moment too', async () => {
    const { take, counts } = counted()
    const taking = Promise.allSettled(Array.from({ length: 30 }, take))
    counts[0]?.(6)
    expect((await taking).filter((one) => one.status === 'fulfilled')).toHaveLength(4)
    expect(counts).toHaveLength(1)
  })

  it('lets nobody wait for a new count while the last one leaves room', async () => {
    const { take, counts, pass } = counted()
    const first = take()
    counts[0]?.(7)
    await first
    pass(1_001)
    await take()
    await take()
    expect(counts).toHaveLength(2)
    // The estimate leaves no room, so the decision needs the new count.
    let isTaken = false
    const last = take().then(() => {
      isTaken = true
    })
    await new Promise(setImmediate)
    expect(isTaken).toBe(false)
    counts[1]?.(3)
    await last
  })

  it('refuses by a new count only', async () => {
    const { take, counts, pass } = counted()
    const first = take()
    counts[0]?.(9)
    await first
    await expect(take()).rejects.toThrow()
    pass(1_001)
    const again = take()
    counts[1]?.(0)
    await again
  })
})
