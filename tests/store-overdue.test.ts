// The end of back-offs: rows delayed only because of an earlier enqueue are due at once, rows that wait for something
// real are not.

import type { TerminalAnswer } from '@reelqueue/shared/domain/terminal-answer'
import { claimOverdueDeliveries, claimOverdueGenerations, requeueNow } from '@reelqueue/shared/store/lifecycle/overdue'
import { recordPolls } from '@reelqueue/shared/store/lifecycle/polling'
import { recordOutcome } from '@reelqueue/shared/store/lifecycle/record-outcome'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { claimDelivery } from './support/deliveries.ts'
import { endGeneration } from './support/endings.ts'
import { pollOf, SETTLING, type Seed, seedDatabase } from './support/seed.ts'

const LIMIT = 100
const COMPLETED: TerminalAnswer = { kind: 'completed', videoUrl: 'https://v/1', actualDuration: null, cost: null }
const REFUSED = { kind: 'rejected', code: 'busy', message: 'busy', httpStatus: 429, retryable: true } as const

let seed: Seed
beforeEach(async () => {
  seed = await seedDatabase()
})
afterEach(() => seed.close())

/** The state after several enqueues by reconcile: the longest back-off has just begun. */
async function putInBackOff(id: string, table: 'generations' | 'deliveries' = 'generations'): Promise<string> {
  await seed.sql(`UPDATE ${table} SET wakes = 9, due_at = now() + interval '120 s' WHERE id = $1`, [id])
  return id
}
const endAll = (limit = LIMIT) => requeueNow(seed.database, limit)
async function dueNow(): Promise<string[]> {
  const { submit, complete } = await claimOverdueGenerations(seed.database, LIMIT, ['submit', 'complete'])
  return [...submit, ...complete].map((row) => row.id).sort()
}
async function answered(): Promise<string> {
  const id = await seed.processing()
  const poll = { ...pollOf(id), nextMs: null, sawPending: false, pollFailures: 0 }
  await recordPolls(seed.database, [{ ...poll, answer: COMPLETED }])
  return id
}
async function refused(backoffMs: number): Promise<string> {
  const { id, submissionId } = await seed.submitting()
  await recordOutcome(seed.database, submissionId, { ...REFUSED, backoffMs }, SETTLING)
  return id
}
async function silent(): Promise<string> {
  const { id, submissionId } = await seed.submitting()
  await seed.sql(`UPDATE submissions SET lease_until = now() WHERE id = $1`, [submissionId])
  return id
}
async function delivery(): Promise<string> {
  await endGeneration(seed.database, await seed.queued({ webhookUrl: 'https://e.com' }), 'completed')
  const [row] = await seed.sql<{ id: string }>('SELECT id FROM deliveries ORDER BY id DESC LIMIT 1')
  return row?.id ?? ''
}

describe('requeueing at once', () => {
  it('makes due at once every row that needs a step: admitted, unanswered past its lease, back-off over, answered', async () => {
    const ids = [await seed.admitted(), await silent(), await refused(0), await answered()]
    for (const id of ids) await putInBackOff(id)
    expect(await dueNow()).toEqual([])
    expect(await endAll()).toBe(ids.length)
    expect(await dueNow()).toEqual(ids.sort())
  })

  it('leaves rows that wait for a lease, a back-off, a poller or admission', async () => {
    const { id: leased } = await seed.submitting()
    const waiting = [leased, await refused(60_000), await seed.processing()]
    for (const id of waiting) await putInBackOff(id)
    const unadmitted = await seed.queued()
    expect(await endAll()).toBe(0)
    expect(await dueNow()).toEqual([])
    expect((await seed.row(unadmitted)).dueAt).toBeNull()
  })

  it('makes due a delivery whose attempt is due, and neither one in flight nor one that waits for its next attempt', async () => {
    const [pending, inFlight, later] = [await delivery(), await delivery(), await delivery()]
    await claimDelivery(seed.database, inFlight, 45_000)
    await seed.sql(`UPDATE deliveries SET next_attempt_at = now() + interval '1 min' WHERE id = $1`, [later])
    for (const id of [pending, inFlight, later]) await putInBackOff(id, 'deliveries')
    expect(await endAll()).toBe(1)
    expect((await claimOverdueDeliveries(seed.database, LIMIT)).map((row) => row.id)).toEqual([pending])
  })

  it('is bounded, passes over rows that someone holds, and leaves due rows as they are', async () => {
    const ids = [await seed.admitted(), await seed.admitted(), await seed.admitted()]
    for (const id of ids) await putInBackOff(id)
    const [held = ''] = ids
    await seed.database.prisma.$transaction(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM generations WHERE id = ${held} FOR UPDATE`
      expect([await endAll(1), await endAll(), await endAll()]).toEqual([1, 1, 0])
    })
    expect(await endAll()).toBe(1)
    expect(await endAll()).toBe(0)
  })
})

it('a claim waits for no row that someone else holds', async () => {
  const [held = '', free = ''] = [await seed.admitted(), await seed.admitted()]
  await seed.sql(`UPDATE generations SET due_at = now() - interval '1 s' WHERE id = ANY ($1)`, [[held, free]])
  const claimed = await seed.holding(`SELECT 1 FROM generations WHERE id = '${held}' FOR UPDATE`, () => dueNow())
  expect(claimed).toEqual([free])
})
