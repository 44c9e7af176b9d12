import { describe, expect, it } from 'vitest'
import { fairTurns, type GiveBack, NoTurn } from './fair-turns.ts'

const BOUNDS = { max: 4, maxPerKey: 2, waitingMaxPerKey: 3, waitMaxMs: 60_000 }
const turns = async () => new Promise((resolve) => setImmediate(resolve))

/** Takes for each key in turn, and notes the admitted keys. */
function takeAll(shares: ReturnType<typeof fairTurns>, ...keys: string[]) {
  const inside: { key: string; giveBack: GiveBack }[] = []
  const refused: { key: string; isOwnShare: boolean }[] = []
  for (const key of keys)
    void shares.take(key).then(
      (giveBack) => inside.push({ key, giveBack }),
      (error: NoTurn) => refused.push({ key, isOwnShare: error.isOwnShare }),
    )
  return { inside, refused, names: () => inside.map(({ key }) => key).join('') }
}

describe('fair turns', () => {
  it('leave room for a second key however much the first asks for', async () => {
    const shares = fairTurns({ ...BOUNDS, waitingMaxPerKey: 100 })
    const { names } = takeAll(shares, ...Array<string>(50).fill('a'), 'b', 'b')
    await turns()
    expect(names()).toBe('aabb')
  })

  it('go round the keys that wait, each in its own order', async () => {
    const shares = fairTurns({ ...BOUNDS, max: 1, maxPerKey: 1, waitingMaxPerKey: 5 })
    const { inside, names } = takeAll(shares, 'a', 'a', 'a', 'a', 'b', 'b', 'c')
    for (let n = 0; n < 7; n++) {
      await turns()
      expect(inside).toHaveLength(n + 1)
      inside[n]?.giveBack()
    }
    expect(names()).toBe('aabcaba')
  })

  it('are given back once, also when released twice', async () => {
    const shares = fairTurns({ ...BOUNDS, max: 1, maxPerKey: 1 })
    const first = shares.tryTake('a')
    first?.()
    first?.()
    expect(shares.tryTake('a')).not.toBeNull()
    expect(shares.tryTake('b')).toBeNull()
  })

  it('refuse at once who would be one too many in the line, and after the time who waited', async () => {
    const shares = fairTurns({ ...BOUNDS, waitMaxMs: 20 })
    const { inside, refused } = takeAll(shares, 'a', 'a', 'a', 'a', 'a', 'a')
    await turns()
    expect([inside.length, refused]).toEqual([2, [{ key: 'a', isOwnShare: true }]])
    await expect(shares.take('a')).rejects.toThrow(NoTurn)
    await expect.poll(() => refused.length).toBe(4)
    expect(shares.tryTake('b')).not.toBeNull()
  })

  it('say whether it is others who use everything', async () => {
    const shares = fairTurns({ ...BOUNDS, waitMaxMs: 20 })
    takeAll(shares, 'a', 'a', 'b', 'b')
    await expect(shares.take('c')).rejects.toMatchObject({ isOwnShare: false })
    await expect(shares.take('a')).rejects.toMatchObject({ isOwnShare: true })
  })

  it('count amounts, of which a large one is not overtaken for ever', async () => {
    const shares = fairTurns({ ...BOUNDS, max: 10, maxPerKey: 8 })
    const small = shares.tryTake('a', 5)
    const order: string[] = []
    void shares.take('b', 8).then((giveBack) => order.push('b') && giveBack())
    void shares.take('c', 1).then(() => order.push('c'))
    expect(shares.tryTake('d', 1)).toBeNull()
    await turns()
    expect(order).toEqual([])
    small?.()
    await turns()
    expect(order).toEqual(['b', 'c'])
    // An amount above a share takes the whole share.
    expect(shares.tryTake('e', 1_000)).not.toBeNull()
  })
})
