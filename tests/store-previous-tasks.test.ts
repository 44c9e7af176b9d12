// Tasks of previous attempts, left behind by a retry or a late acceptance: the tasks are paid for, so a finished video
// is used.

import { cancelGeneration } from '@reelqueue/shared/store/lifecycle/cancellation'
import { completeGeneration } from '@reelqueue/shared/store/lifecycle/completion'
import { claimDuePolls, failOverdue } from '@reelqueue/shared/store/lifecycle/polling'
import { completePreviousTask } from '@reelqueue/shared/store/lifecycle/retries'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attemptsOn, lockOf, NO_VIDEO, REFUSED, UNKNOWN, VIDEO } from './support/attempts.ts'
import { intentOf, LEASE_MS, pollOf, SETTLING, type Seed, seedDatabase, taskIdOf } from './support/seed.ts'

let seed: Seed
let attempts: ReturnType<typeof attemptsOn>
beforeAll(async () => {
  seed = await seedDatabase()
  attempts = attemptsOn(seed)
})
afterAll(() => seed.close())

const secondOf = (id: string) => `sora_second_${id}`
async function taskOf(id: string) {
  const { upstreamTaskId, dispatchCount } = await seed.row(id)
  return { id, upstreamTaskId: upstreamTaskId ?? '', dispatchCount }
}
/** Failed at the deadline, retried, and rendering again with another task. */
async function twiceRendered(): Promise<string> {
  const id = await attempts.overdue()
  await attempts.retryAdmitted(id)
  const { submissionId } = intentOf(await attempts.begin(id, taskIdOf(id)))
  await attempts.recordResult(submissionId, { kind: 'accepted', taskId: secondOf(id) })
  return id
}

describe('a retry after a deadline', () => {
  async function retried(): Promise<string> {
    const id = await attempts.overdue()
    await attempts.retryAdmitted(id)
    return id
  }

  it('asks about the old task before it pays again, and only once', async () => {
    const id = await retried()
    expect(await attempts.begin(id)).toEqual({ kind: 'ask_first', taskId: taskIdOf(id) })
    expect((await seed.row(id)).submissions).toHaveLength(1)
    expect(intentOf(await attempts.begin(id, taskIdOf(id))).number).toBe(1)
    expect(await seed.row(id)).toMatchObject({ status: 'submitting', upstreamTaskId: null, submittedAt: null })
  })

  it('completes with the video that the old task has after all, and pays nothing', async () => {
    const id = await retried()
    expect(await completePreviousTask(seed.database, id, taskIdOf(id), VIDEO)).toHaveLength(2)
    const row = await seed.row(id)
    expect(row).toMatchObject({
      status: 'completed',
      videoUrl: 'https://v/1',
      attempt: 2,
      slotUntil: null,
      dueAt: null,
    })
    expect(row.submissions).toHaveLength(1)
    expect((await attempts.typesOf(id)).slice(-3)).toEqual(['queued', 'processing', 'completed'])
    expect(await attempts.begin(id)).toEqual({ kind: 'moved_on' })
  })

  it('leaves a generation alone that has gone on to pay meanwhile', async () => {
    const id = await retried()
    await attempts.begin(id, taskIdOf(id))
    expect(await completePreviousTask(seed.database, id, taskIdOf(id), VIDEO)).toEqual([])
    expect((await seed.row(id)).status).toBe('submitting')
  })

  it('that is refused goes on asking about the old task, whose late success still counts', async () => {
    const id = await retried()
    await attempts.recordResult(intentOf(await attempts.begin(id, taskIdOf(id))).submissionId, REFUSED)
    const row = await seed.row(id)
    expect(row).toMatchObject({ status: 'failed', errorCode: REFUSED.code, upstreamTaskId: taskIdOf(id) })
    expect(row.dueAt).toBeInstanceOf(Date)
    await attempts.answered(id, VIDEO)
    await completeGeneration(seed.database, id)
    expect(await seed.row(id)).toMatchObject({ status: 'completed', videoUrl: 'https://v/1' })
  })

  it('is asked about again by the retry after that one, however that one ended, and its video is taken', async () => {
    const id = await retried()
    await attempts.recordResult(intentOf(await attempts.begin(id, taskIdOf(id))).submissionId, UNKNOWN)
    await attempts.retry(id)
    await attempts.admit()
    expect(await attempts.begin(id)).toEqual({ kind: 'ask_first', taskId: taskIdOf(id) })
    expect(await completePreviousTask(seed.database, id, taskIdOf(id), VIDEO)).toHaveLength(2)
    expect(await seed.row(id)).toMatchObject({ status: 'completed', upstreamTaskId: taskIdOf(id), attempt: 3 })
  })

  it('that is refused is asked about the task of the attempt before also when that one came to light only then', async () => {
    const { id, submissionId } = await attempts.unknown()
    await attempts.retry(id)
    await attempts.admit()
    await attempts.recordResult(intentOf(await attempts.begin(id)).submissionId, REFUSED)
    expect((await seed.row(id)).dueAt).toBeNull()
    await attempts.recordResult(submissionId, { kind: 'accepted', taskId: taskIdOf(id) })
    expect(await seed.row(id)).toMatchObject({ status: 'failed', upstreamTaskId: taskIdOf(id) })
    await attempts.answered(id, VIDEO)
    await completeGeneration(seed.database, id)
    expect(await seed.row(id)).toMatchObject({ status: 'completed' })
  })

  it('asks about the tasks of all previous attempts, the latest first', async () => {
    const id = await twiceRendered()
    await failOverdue(seed.database, [await taskOf(id)], 'deadline_exceeded', SETTLING.renderMaxMs)
    await attempts.retryAdmitted(id)
    expect(await attempts.begin(id)).toEqual({ kind: 'ask_first', taskId: secondOf(id) })
    expect(await attempts.begin(id, secondOf(id))).toEqual({ kind: 'ask_first', taskId: taskIdOf(id) })
    expect((await attempts.begin(id, secondOf(id), taskIdOf(id))).kind).toBe('begun')
  })

  it('that fails by an answer of the provider goes on polling the old task, and no more its own', async () => {
    const id = await twiceRendered()
    await attempts.answered(id, NO_VIDEO)
    await completeGeneration(seed.database, id)
    expect(await seed.row(id)).toMatchObject({
      status: 'failed',
      errorCode: NO_VIDEO.code,
      upstreamTaskId: taskIdOf(id),
      dueAt: expect.any(Date),
    })
    await attempts.answered(id, NO_VIDEO)
    await completeGeneration(seed.database, id)
    expect(await seed.row(id)).toMatchObject({ status: 'failed', dueAt: null })
    await attempts.retryAdmitted(id)
    expect((await attempts.begin(id)).kind).toBe('begun')
    expect((await attempts.typesOf(id)).filter((type) => type === 'failed')).toHaveLength(2)
  })

  it('that fails by an answer of the provider is completed by a late success of the old task', async () => {
    const id = await twiceRendered()
    await attempts.answered(id, NO_VIDEO)
    await completeGeneration(seed.database, id)
    await attempts.answered(id, VIDEO)
    await completeGeneration(seed.database, id)
    expect(await seed.row(id)).toMatchObject({ status: 'completed', videoUrl: 'https://v/1', dueAt: null })
  })

  it('that was refused for now asks about the old task again before it submits again, and takes its video', async () => {
    const id = await retried()
    const { submissionId } = intentOf(await attempts.begin(id, taskIdOf(id)))
    expect(await completePreviousTask(seed.database, id, taskIdOf(id), VIDEO)).toEqual([])
    await attempts.recordResult(submissionId, { ...REFUSED, retryable: true, backoffMs: 0 })
    expect(await attempts.begin(id)).toEqual({ kind: 'ask_first', taskId: taskIdOf(id) })
    expect(await completePreviousTask(seed.database, id, taskIdOf(id), VIDEO)).toHaveLength(2)
    expect((await seed.row(id)).status).toBe('completed')
  })

  it('keeps the day of a task that was found by hand as short as it may be', async () => {
    const { id, submissionId } = await seed.submitting()
    await attempts.recordResult(submissionId, REFUSED)
    await attempts.adopt(id, taskIdOf(id))
    await failOverdue(seed.database, [await taskOf(id)], 'deadline_exceeded', SETTLING.renderMaxMs)
    await attempts.retryAdmitted(id)
    await attempts.recordResult(intentOf(await attempts.begin(id, taskIdOf(id))).submissionId, REFUSED)
    const row = await seed.row(id)
    expect(row).toMatchObject({ upstreamTaskId: taskIdOf(id), lastPendingAt: row.createdAt })
    await attempts.retryAdmitted(id)
    await attempts.begin(id)
    await completePreviousTask(seed.database, id, taskIdOf(id), VIDEO)
    expect((await seed.row(id)).videoUrlExpiresAt?.getTime()).toBe(row.createdAt.getTime() + 24 * 3_600_000)
  })

  it('is left alone by reconcile while the old task is asked about', async () => {
    const id = await retried()
    await attempts.begin(id)
    const inMs = Number((await seed.row(id)).dueAt) - Date.now()
    expect(inMs).toBeGreaterThan(LEASE_MS - 10_000)
  })

  it('a poller with a late answer about the old task cannot fail the new attempt', async () => {
    const id = await retried()
    const { submissionId } = intentOf(await attempts.begin(id, taskIdOf(id)))
    await attempts.recordResult(submissionId, { kind: 'accepted', taskId: secondOf(id) })
    expect(await failOverdue(seed.database, [pollOf(id)], 'deadline_exceeded', SETTLING.renderMaxMs)).toEqual([])
    expect((await seed.row(id)).status).toBe('processing')
  })

  it('polls nothing when the provider has forgotten the task', async () => {
    const id = await retried()
    await seed.sql(`UPDATE submissions SET started_at = now() - interval '25 hours' WHERE generation_id = $1`, [id])
    expect((await attempts.begin(id)).kind).toBe('begun')
  })

  it('is polled no more for its old task, and a poll under way changes nothing', async () => {
    const id = await attempts.overdue()
    await seed.sql(`UPDATE generations SET due_at = now() WHERE id = $1`, [id])
    expect((await claimDuePolls(seed.database, 10, 1_000)).map((poll) => poll.id)).toEqual([id])
    await attempts.retry(id)
    await attempts.answered(id, VIDEO)
    expect(await seed.row(id)).toMatchObject({ status: 'queued', answer: null, dueAt: null })
    expect(await claimDuePolls(seed.database, 10, 1_000)).toEqual([])
  })

  it('an answer that was stored before the retry cannot end the new attempt', async () => {
    const id = await attempts.overdue()
    await attempts.answered(id, NO_VIDEO)
    const [, moved] = await seed.collide<unknown>(lockOf(id), [
      () => attempts.retry(id),
      () => completeGeneration(seed.database, id),
    ])
    expect(moved).toEqual([])
    expect(await seed.row(id)).toMatchObject({ status: 'queued', attempt: 2, answer: null })
  })
})

describe('the first submission, when it turns out to be accepted after its resubmission began,', () => {
  const first = (id: string) => ({ kind: 'accepted', taskId: taskIdOf(id) }) as const
  async function resubmitted() {
    const { id, submissionId } = await seed.submitting({ onUnknownSubmission: 'resubmit' })
    await attempts.recordResult(submissionId, UNKNOWN)
    return { id, first: submissionId, second: intentOf(await attempts.begin(id)).submissionId }
  }

  it.each([
    ['was unknown', UNKNOWN],
    ['was refused', REFUSED],
    ['is to be repeated', { ...REFUSED, retryable: true, backoffMs: 60_000 }],
  ])('is taken when that one %s, and nothing is paid again', async (_, outcome) => {
    for (const order of ['before', 'after'] as const) {
      const { id, first: submissionId, second } = await resubmitted()
      if (order === 'before') await attempts.recordResult(submissionId, first(id))
      await attempts.recordResult(second, outcome)
      if (order === 'after') await attempts.recordResult(submissionId, first(id))
      // A refusal is certain: the failure has been reported, and a late success still counts.
      const status = order === 'after' && outcome === REFUSED ? 'failed' : 'processing'
      const row = await seed.row(id)
      expect(row).toMatchObject({ status, upstreamTaskId: taskIdOf(id), currentSubmissionId: submissionId })
      expect(row).toMatchObject({ dueAt: expect.any(Date), mayBeCharged: true })
      expect(await attempts.begin(id)).toEqual({ kind: 'moved_on' })
    }
  })

  it('is left when that one is accepted too, and asked about when its render fails', async () => {
    const { id, first: submissionId, second } = await resubmitted()
    await attempts.recordResult(submissionId, first(id))
    await attempts.recordResult(second, { kind: 'accepted', taskId: secondOf(id) })
    expect((await seed.row(id)).upstreamTaskId).toBe(secondOf(id))
    await attempts.answered(id, NO_VIDEO)
    await completeGeneration(seed.database, id)
    expect(await seed.row(id)).toMatchObject({
      status: 'failed',
      upstreamTaskId: taskIdOf(id),
      dueAt: expect.any(Date),
    })
  })

  it('brings nothing back that was cancelled', async () => {
    const { id, first: submissionId, second } = await resubmitted()
    await cancelGeneration(seed.database, id, SETTLING.renderMaxMs)
    await attempts.recordResult(submissionId, first(id))
    await attempts.recordResult(second, UNKNOWN)
    expect((await seed.row(id)).status).toBe('cancelled')
  })
})

describe('the late acceptance of a previous attempt', () => {
  const late = (id: string) => ({ kind: 'accepted', taskId: taskIdOf(id) }) as const

  it.each([
    ['unknown', UNKNOWN],
    ['refused for now', { ...REFUSED, retryable: true, backoffMs: 0 }],
  ])('while the next one submits, is taken when that ends %s, and nothing is paid again', async (_, outcome) => {
    const { id, submissionId } = await attempts.unknown()
    await attempts.retryAdmitted(id)
    const second = intentOf(await attempts.begin(id)).submissionId
    await attempts.recordResult(submissionId, late(id))
    await attempts.recordResult(second, outcome)
    const row = await seed.row(id)
    expect(row).toMatchObject({ status: 'processing', upstreamTaskId: taskIdOf(id), attempt: 2 })
    // An unknown task may be rendering too.
    expect(row.slotUntil === null).toBe(outcome !== UNKNOWN)
    expect(await attempts.begin(id)).toEqual({ kind: 'moved_on' })
  })

  it('after a retry, is taken also of the submission before the last one', async () => {
    const { id, submissionId } = await seed.submitting({ onUnknownSubmission: 'resubmit' })
    await attempts.recordResult(submissionId, UNKNOWN)
    await attempts.recordResult(intentOf(await attempts.begin(id)).submissionId, UNKNOWN)
    await attempts.retry(id)
    await attempts.recordResult(submissionId, late(id))
    expect(await seed.row(id)).toMatchObject({
      status: 'processing',
      upstreamTaskId: taskIdOf(id),
      admittedAt: expect.any(Date),
      slotUntil: expect.any(Date),
    })
  })

  it('after another task was adopted and failed, is asked about', async () => {
    const { id, submissionId } = await attempts.unknown()
    await attempts.adopt(id, `sora_wrong_${id}`)
    await attempts.answered(id, NO_VIDEO)
    await completeGeneration(seed.database, id)
    expect((await seed.row(id)).dueAt).toBeNull()
    await attempts.recordResult(submissionId, late(id))
    expect(await seed.row(id)).toMatchObject({
      status: 'failed',
      upstreamTaskId: taskIdOf(id),
      dueAt: expect.any(Date),
    })
  })
})
