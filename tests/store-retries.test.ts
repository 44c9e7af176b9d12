// New attempts of failed generations, on a real Postgres. Interleavings are forced by locks; the test sees the
// contenders wait.

import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations } from '@reelqueue/shared/store/admission/admission'
import { cancelGeneration } from '@reelqueue/shared/store/lifecycle/cancellation'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { attemptsOn, lockOf, REFUSED, UNKNOWN, VIDEO } from './support/attempts.ts'
import { intentOf, SETTLING, type Seed, seedDatabase } from './support/seed.ts'

let seed: Seed
let attempts: ReturnType<typeof attemptsOn>
beforeAll(async () => {
  seed = await seedDatabase()
  attempts = attemptsOn(seed)
})
afterAll(() => seed.close())

describe('a retry', () => {
  it('queues a failed generation as its next attempt, which is admitted and paid for again', async () => {
    const { id } = await attempts.unknown()
    expect(await attempts.retry(id)).toMatchObject({ kind: 'retried', moved: [{ id }] })
    expect(await seed.row(id)).toMatchObject({
      status: 'queued',
      attempt: 2,
      admittedAt: null,
      dueAt: null,
      errorCode: null,
      errorMessage: null,
      finishedAt: null,
      mayBeCharged: true,
    })
    expect(await attempts.begin(id)).toEqual({ kind: 'moved_on' })
    await attempts.admit()
    expect(intentOf(await attempts.begin(id)).number).toBe(1)
    expect((await seed.row(id)).submissions.map((one) => [one.attempt, one.state])).toEqual([
      [1, 'unknown'],
      [2, 'started'],
    ])
    expect(await attempts.typesOf(id)).toEqual(['queued', 'submitting', 'failed', 'queued', 'submitting'])
  })

  it('has job ids of its own: a job kept from the first attempt cannot suppress them', async () => {
    const id = await seed.queued()
    const first = (await admitGenerations(seed.database, CONFIGURED, 100_000)).admitted.find((one) => one.id === id)
    await attempts.recordResult(intentOf(await attempts.begin(id)).submissionId, REFUSED)
    await attempts.retry(id)
    const second = (await admitGenerations(seed.database, CONFIGURED, 100_000)).admitted.find((one) => one.id === id)
    expect(second?.dispatchCount).toBeGreaterThan(first?.dispatchCount ?? Number.NaN)
  })

  it.each(['queued', 'submitting', 'processing', 'completed', 'cancelled'] as const)(
    'is refused while the generation is %s, and changes nothing',
    async (status) => {
      const id = await seed.processing()
      await seed.sql(
        `UPDATE generations SET status = $2::generation_status, finished_at = CASE WHEN $2 IN ('completed', 'cancelled') THEN now() END,
           video_url = 'u', video_url_expires_at = now() WHERE id = $1`,
        [id, status],
      )
      const before = await seed.row(id)
      expect(await attempts.retry(id)).toEqual({ kind: 'illegal', status })
      expect(await attempts.adopt(id, 'sora_x')).toEqual({ kind: 'illegal', status })
      expect(await seed.row(id)).toEqual(before)
    },
  )

  it('asked for twice at the same instant is one attempt', async () => {
    const { id } = await attempts.unknown()
    const results = await seed.collide(lockOf(id), [() => attempts.retry(id), () => attempts.retry(id)])
    expect(results.map((result) => result.kind)).toEqual(['retried', 'illegal'])
    expect((await seed.row(id)).attempt).toBe(2)
  })

  it('counts unknown outcomes from zero: each attempt may be resubmitted once, and no more', async () => {
    const { id, submissionId } = await seed.submitting({ onUnknownSubmission: 'resubmit' })
    await attempts.recordResult(submissionId, UNKNOWN)
    await attempts.recordResult(intentOf(await attempts.begin(id)).submissionId, UNKNOWN)
    await attempts.retry(id)
    await attempts.admit()
    expect(await attempts.recordResult(intentOf(await attempts.begin(id)).submissionId, UNKNOWN)).toMatchObject({
      status: 'submitting',
    })
    expect(await attempts.recordResult(intentOf(await attempts.begin(id)).submissionId, UNKNOWN)).toMatchObject({
      status: 'failed',
    })
  })

  it.each(['retry first', 'answer first'])(
    'and the late answer of the previous submission pay once between them (%s)',
    async (order) => {
      const { id, submissionId } = await attempts.unknown()
      const retrying = () => attempts.retry(id)
      const answer = () => attempts.recordResult(submissionId, { kind: 'accepted', taskId: `sora_${order}` })
      await seed.collide<unknown>(lockOf(id), order === 'retry first' ? [retrying, answer] : [answer, retrying])
      expect(await seed.row(id)).toMatchObject({
        status: 'processing',
        upstreamTaskId: `sora_${order}`,
        attempt: order === 'retry first' ? 2 : 1,
        admittedAt: expect.any(Date),
        slotUntil: null,
      })
      await attempts.admit()
      expect(await attempts.begin(id)).toEqual({ kind: 'moved_on' })
    },
  )

  it('that has submitted again leaves the late answer of the previous submission to the ledger', async () => {
    const { id, submissionId } = await attempts.unknown()
    await attempts.retry(id)
    await attempts.admit()
    await attempts.begin(id)
    expect(await attempts.recordResult(submissionId, { kind: 'accepted', taskId: 'sora_orphan' })).toMatchObject({
      status: 'unchanged',
    })
    const row = await seed.row(id)
    expect(row).toMatchObject({ status: 'submitting', upstreamTaskId: null })
    expect(row.submissions[0]).toMatchObject({ state: 'accepted', upstreamTaskId: 'sora_orphan' })
  })

  it('takes a late success that waits on the row, instead of paying again', async () => {
    const id = await attempts.overdue()
    await attempts.answered(id, VIDEO)
    expect(await attempts.retry(id)).toMatchObject({ kind: 'completed', moved: [{ id }] })
    expect(await seed.row(id)).toMatchObject({ status: 'completed', attempt: 1, videoUrl: 'https://v/1' })
  })
})

describe('slots', () => {
  beforeEach(async () => {
    // Kept renders may take a slot only when there are at least four slots.
    await seed.sql('UPDATE generations SET slot_until = NULL')
    for (let n = 0; n < 3; n++) await seed.processing()
  })

  it('are kept for whatever may be rendering: unknown outcomes, and the renders that a retry left behind', async () => {
    const { id } = await attempts.unknown()
    expect(await admittedBeyond(await slotsTaken())).toEqual([])
    await attempts.retry(id)
    expect((await seed.row(id)).slotUntil).toBeInstanceOf(Date)
    expect(await admittedBeyond(await slotsTaken())).toEqual([])
    await cancelGeneration(seed.database, id, SETTLING.renderMaxMs)
    expect((await seed.row(id)).slotUntil).toBeInstanceOf(Date)
  })

  it('are kept by a generation that waits out a refusal', async () => {
    const { submissionId } = await seed.submitting()
    await attempts.recordResult(submissionId, { ...REFUSED, retryable: true, backoffMs: 60_000 })
    expect(await admittedBeyond(await slotsTaken())).toEqual([])
  })
})

/** The generations admitted with `slots` slots in total. */
async function admittedBeyond(slots: number): Promise<string[]> {
  const waiting = await seed.queued()
  const { admitted } = await admitGenerations(seed.database, CONFIGURED, slots)
  await cancelGeneration(seed.database, waiting, 0)
  return admitted.map((one) => one.id)
}

/** Taken slots, counted by the documented rule and not by admission. */
async function slotsTaken(): Promise<number> {
  const rows = await seed.sql<{ slots: number }>(
    `SELECT ((admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing'))::int
       + coalesce(slot_until > now(), false)::int) AS slots FROM generations`,
  )
  return rows.reduce((sum, row) => sum + row.slots, 0)
}
