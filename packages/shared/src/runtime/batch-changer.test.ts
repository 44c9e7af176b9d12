// Who carries out the marks of batches, and who waits: the leases are in memory, as several processes would have them in Postgres.

import { EventEmitter, once } from 'node:events'
import { expect, it } from 'vitest'
import { type BatchChangerPorts, createBatchChanger } from './batch-changer.ts'
import { pageTurns } from './pages.ts'

interface Page {
  readonly changed: number
  readonly after: string | null
  readonly isOver: boolean
}
const LAST: Page = { changed: 1, after: null, isOver: true }

/** Batches of one project, each with a mark and without a lease. */
function leases(...batchIds: string[]) {
  const marked = new Set(batchIds)
  const leased = new Set<string>()
  const stopping = new AbortController()
  const pages: string[] = []
  let claims = 0
  const ports: BatchChangerPorts<Page> = {
    turns: pageTurns(),
    async claim(which) {
      claims += 1
      const isMeant = (id: string) => ('batchId' in which ? id === which.batchId : !which.not.includes(id))
      const batchId = [...marked].find((id) => !leased.has(id) && isMeant(id))
      if (batchId === undefined) return null
      leased.add(batchId)
      return { batchId, projectId: 'prj_1' }
    },
    release: async (batchId) => void leased.delete(batchId),
    isChanging: async (batchId) => marked.has(batchId),
    async page(batchId) {
      pages.push(batchId)
      marked.delete(batchId)
      leased.delete(batchId)
      return LAST
    },
    afterPage: async () => undefined,
    onError: (_, error) => expect.unreachable(String(error)),
    stopping: stopping.signal,
  }
  return { marked, leased, pages, stopping, ports, claims: () => claims }
}

/** A page that stays under way until the test releases the page. */
function holdPage(ports: BatchChangerPorts<Page>, held: string) {
  const events = new EventEmitter()
  const begun = once(events, 'begun')
  const end = once(events, 'end')
  const page: typeof ports.page = async (batchId, cursor) => {
    if (batchId === held) {
      events.emit('begun')
      await end
    }
    return await ports.page(batchId, cursor)
  }
  return { ports: { ...ports, page }, begun, letGo: () => events.emit('end') }
}

it('two hundred who wait for what another process does look together, and hear of its end', async () => {
  const { ports, marked, leased, claims } = leases('bat_1')
  leased.add('bat_1')
  const changer = createBatchChanger(ports)
  const within = Array.from({ length: 200 }, () => changer.change('bat_1', 500))
  expect(new Set(await Promise.all(within))).toEqual(new Set([false]))
  expect(claims()).toBeLessThan(20)
  const longer = Array.from({ length: 200 }, () => changer.change('bat_1', 60_000))
  marked.delete('bat_1')
  expect(new Set(await Promise.all(longer))).toEqual(new Set([true]))
})

it('has no lease while it waits for its turn, and begins nothing when it receives the signal to stop', async () => {
  const { ports, leased, pages, stopping } = leases('bat_1', 'bat_2')
  const held = holdPage(ports, 'bat_1')
  const changer = createBatchChanger(held.ports)
  void changer.change('bat_1', 0)
  await held.begun
  expect(await changer.change('bat_2', 50)).toBe(false)
  expect([...leased]).toEqual(['bat_1'])
  stopping.abort()
  held.letGo()
  await changer.idle()
  expect(pages).toEqual(['bat_1'])
})

it('takes over nothing that it carries out already, and leaves to others what they have begun meanwhile', async () => {
  const { ports, leased, pages } = leases('bat_1', 'bat_2')
  const held = holdPage(ports, 'bat_1')
  const changer = createBatchChanger(held.ports)
  void changer.change('bat_1', 0)
  await held.begun
  await changer.change('bat_2', 0)
  await changer.takeOver()
  expect([...leased]).toEqual(['bat_1'])
  leased.add('bat_2')
  held.letGo()
  await changer.idle()
  expect(pages).toEqual(['bat_1'])
})
