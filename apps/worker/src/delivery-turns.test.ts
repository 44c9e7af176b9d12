import { describe, expect, it } from 'vitest'
import { createDeliveryTurns } from './delivery-turns.ts'

function atWork() {
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const errors: unknown[] = []
  const proven = new Set<string>()
  const stopping = new AbortController()
  const turns = createDeliveryTurns((id, error) => errors.push([id, error]), stopping.signal)
  let made = 0
  /** Adds `count` deliveries of a project, by default to servers known to answer. */
  const add = (projectId: string, count: number, server = 'proven') => {
    for (let n = 0; n < count; n++) {
      const id = `${projectId} ${made++}`
      const run = () => {
        begun.push(id)
        return new Promise<void>((resolve, reject) => {
          ends.set(id, resolve)
          if (server === 'broken') reject(new Error('broken'))
        })
      }
      turns.add({ id, projectId, isProven: () => server === 'proven' || proven.has(server), run })
    }
  }
  const end = async (count: number, ofProject = '') => {
    const ids = [...ends.keys()].filter((id) => id.startsWith(ofProject)).slice(0, count)
    for (const id of ids) {
      ends.get(id)?.()
      ends.delete(id)
    }
    await new Promise(setImmediate)
  }
  const countOf = (projectId: string) => begun.filter((id) => id.startsWith(`${projectId} `)).length
  const stop = () => stopping.abort()
  return { turns, add, end, stop, begun, countOf, proven, errors }
}

describe('deliveries that wait for their turns', () => {
  it('of one project take half of them at the most', () => {
    const { add, countOf } = atWork()
    add('loud', 2_000)
    expect(countOf('loud')).toBe(500)
    add('quiet', 3)
    expect(countOf('quiet')).toBe(3)
  })

  it('to servers that are not known to answer are few at once, and stand in the way of no others', async () => {
    const { add, end, countOf, proven } = atWork()
    add('loud', 200, 'dead')
    expect(countOf('loud')).toBe(50)
    add('loud', 7)
    expect(countOf('loud')).toBe(57)
    proven.add('dead')
    // Every run that begins now is for a server known to answer.
    await end(1)
    expect(countOf('loud')).toBe(207)
  })

  it('of many projects with much to do leave room for one with next to nothing', () => {
    const { add, countOf, begun } = atWork()
    for (let n = 0; n < 10; n++) add(`loud${n}`, 400)
    // Two projects take the turns outside the reserve, the other eight take five each.
    expect(begun).toHaveLength(2 * 400 + 8 * 5)
    add('quiet', 20)
    expect(countOf('quiet')).toBe(5)
  })

  it('take turns by project, whoever came first', async () => {
    const { add, end, begun } = atWork()
    add('a', 400)
    add('b', 400)
    add('a', 50)
    add('b', 50)
    begun.length = 0
    await end(6)
    expect(begun.map((id) => id[0]).join('')).toMatch(/^(ab){3}$|^(ba){3}$/)
  })

  it('are taken once while they wait, and bounded in number', async () => {
    const { turns, add, end, stop, countOf } = atWork()
    let runs = 0
    add('a', 50, 'dead')
    const one = { id: 'again', projectId: 'a', isProven: () => false, run: async () => void runs++ }
    turns.add(one)
    turns.add(one)
    await end(2)
    expect(runs).toBe(1)
    add('b', 10_000, 'dead')
    stop()
    expect(await Promise.race([turns.idle(), end(60)])).toBeUndefined()
    expect(countOf('b')).toBe(50)
  })

  it('begin no more from the stop on, and are handed back, also those that come after it; what has begun is waited for', async () => {
    const { turns, add, end, stop, begun } = atWork()
    add('a', 6_000, 'dead')
    stop()
    await end(20)
    add('b', 3)
    expect(begun).toHaveLength(50)
    const idle = turns.idle()
    await end(30)
    expect(await idle).toHaveLength(5_003)
    expect(begun).toHaveLength(50)
  })

  it('that fail are reported, and give their turn back', async () => {
    const { add, errors, begun, end } = atWork()
    add('a', 60, 'broken')
    await end(0)
    await end(0)
    expect(begun).toHaveLength(60)
    expect(errors).toHaveLength(60)
  })
})
