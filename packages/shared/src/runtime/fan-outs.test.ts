// The projects whose fan-outs a process continues, and the stop of the process.

import { expect, it } from 'vitest'
import { createFanOuts, type FanOutPorts } from './fan-outs.ts'
import { pageTurns } from './pages.ts'

/** The number of waiting events, by project. */
function waiting(events: Record<string, number>) {
  const left = new Map(Object.entries(events))
  const stopping = new AbortController()
  const pages: string[] = []
  const enqueued: string[] = []
  const ports: FanOutPorts = {
    turns: pageTurns(),
    next: async (after) => [...left.keys()].toSorted().find((id) => id > after && (left.get(id) ?? 0) > 0) ?? null,
    async page(projectId, rows) {
      const taken = Math.min(rows, left.get(projectId) ?? 0)
      left.set(projectId, (left.get(projectId) ?? 0) - taken)
      pages.push(projectId)
      return { events: taken, deliveryIds: taken > 0 ? [`of ${projectId}`] : [] }
    },
    enqueue: (ids) => void enqueued.push(...ids),
    onError: (_, error) => expect.unreachable(String(error)),
    stopping: stopping.signal,
  }
  return { left, stopping, pages, enqueued, ports }
}

it('works until nothing is left, and enqueues the deliveries of each page', async () => {
  const { left, enqueued, ports } = waiting({ a: 450 })
  const fanOuts = createFanOuts(ports)
  fanOuts.start('a')
  fanOuts.start('a')
  await fanOuts.idle()
  expect(left.get('a')).toBe(0)
  // 100, 200, 150 rows.
  expect(enqueued).toEqual(['of a', 'of a', 'of a'])
})

it('takes over two projects at once, and comes to all of them', async () => {
  const { left, pages, ports } = waiting({ a: 1, b: 1, c: 1 })
  const fanOuts = createFanOuts(ports)
  await fanOuts.takeOver()
  await fanOuts.idle()
  expect(new Set(pages)).toEqual(new Set(['a', 'b']))
  // New work arrives for the first two projects; the last project still has its turn.
  left.set('a', 1).set('b', 1)
  await fanOuts.takeOver()
  await fanOuts.idle()
  expect(left.get('c')).toBe(0)
})

it('begins nothing once the process stops', async () => {
  const { pages, stopping, ports } = waiting({ a: 1 })
  const fanOuts = createFanOuts(ports)
  stopping.abort()
  fanOuts.start('a')
  await fanOuts.takeOver()
  await fanOuts.idle()
  expect(pages).toEqual([])
})

it('reports an error, and begins again when asked', async () => {
  const { left, ports } = waiting({ a: 1 })
  const errors: unknown[] = []
  let fails = true
  const fanOuts = createFanOuts({
    ...ports,
    onError: (projectId, error) => void errors.push([projectId, error]),
    page: async (...given) => {
      if (fails) throw new Error('Postgres is away')
      return await ports.page(...given)
    },
  })
  fanOuts.start('a')
  await fanOuts.idle()
  expect(errors).toEqual([['a', new Error('Postgres is away')]])
  fails = false
  await fanOuts.takeOver()
  await fanOuts.idle()
  expect(left.get('a')).toBe(0)
})
