// A task adopted by hand turns out to be the answer to another generation's submission, on a real Postgres.

import { recordAccepted, recordOneAccepted } from '@reelqueue/shared/store/lifecycle/acceptance'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attemptsOn, REFUSED, VIDEO } from './support/attempts.ts'
import { SETTLING, type Seed, seedDatabase } from './support/seed.ts'

let seed: Seed
let attempts: ReturnType<typeof attemptsOn>
beforeAll(async () => {
  seed = await seedDatabase()
  attempts = attemptsOn(seed)
})
afterAll(() => seed.close())

const accepted = (taskId: string) => ({ kind: 'accepted', taskId }) as const

/** A generation with an open submission, and another generation that adopted the task of this submission. */
async function adoptedTooEarly() {
  const [own, other] = [await seed.submitting(), await attempts.unknown()]
  const taskId = `sora_of_${own.id}`
  expect((await attempts.adopt(other.id, taskId, { isOperator: false })).kind).toBe('adopted')
  return { own, other, taskId }
}

/** A generation that waits until its task is found. */
const UNKNOWN_AGAIN = {
  status: 'failed',
  errorCode: 'submission_unknown',
  upstreamTaskId: null,
  dueAt: null,
  answer: null,
  submissions: [{ state: 'unknown', errorCode: 'adopted_task_reclaimed', upstreamTaskId: null, adoptedAt: null }],
}

describe('the answer to a submission', () => {
  it('takes its task away from a generation that adopted it, which fails again with its event', async () => {
    const { own, other, taskId } = await adoptedTooEarly()
    const recorded = await attempts.recordResult(own.submissionId, accepted(taskId))
    expect(recorded.status).toBe('processing')
    expect(recorded.moved.map((move) => move.id)).toEqual([own.id, other.id])
    expect(await seed.row(own.id)).toMatchObject({
      status: 'processing',
      upstreamTaskId: taskId,
      submissions: [{ state: 'accepted', upstreamTaskId: taskId, adoptedAt: null }],
    })
    const row = await seed.row(other.id)
    expect(row).toMatchObject(UNKNOWN_AGAIN)
    expect(row.submissions[0]?.errorMessage).toContain(taskId)
    // The generation's own render may still be running.
    expect(Number(row.slotUntil) - Number(row.submissions[0]?.startedAt)).toBe(SETTLING.renderMaxMs)
    expect((await attempts.typesOf(other.id)).slice(-2)).toEqual(['processing', 'failed'])
    expect((await attempts.adopt(other.id, `${taskId}_right`, { isOperator: false })).kind).toBe('adopted')
  })

  it('does so also where it came with others in one statement', async () => {
    const { own, other, taskId } = await adoptedTooEarly()
    const acceptance = { ...SETTLING, submissionId: own.submissionId, taskId }
    await expect(recordAccepted(seed.database, [acceptance])).rejects.toThrow()
    expect((await recordOneAccepted(seed.database, acceptance)).moved).toHaveLength(2)
    expect(await seed.row(other.id)).toMatchObject(UNKNOWN_AGAIN)
  })

  it('does so also when it comes late, and its generation had failed', async () => {
    const { own, other, taskId } = await adoptedTooEarly()
    await attempts.recordResult(own.submissionId, { kind: 'unknown', code: 'c', message: 'm', httpStatus: null })
    expect(await attempts.recordResult(own.submissionId, accepted(taskId))).toMatchObject({ status: 'processing' })
    expect(await seed.row(own.id)).toMatchObject({ status: 'processing', upstreamTaskId: taskId })
    expect(await seed.row(other.id)).toMatchObject(UNKNOWN_AGAIN)
  })

  it.each(['adopt first', 'answer first'])('wins when both come at the same instant: %s', async (order) => {
    const [own, other] = [await seed.submitting(), await attempts.unknown()]
    const taskId = `sora_of_${own.id}`
    const both = [
      () => attempts.adopt(other.id, taskId),
      () => attempts.recordResult(own.submissionId, accepted(taskId)),
    ] as const
    await seed.collide<unknown>(
      'LOCK TABLE submissions IN SHARE MODE',
      order === 'adopt first' ? both : [...both].reverse(),
    )
    expect(await seed.row(own.id)).toMatchObject({ status: 'processing', upstreamTaskId: taskId })
    expect(await seed.row(other.id)).toMatchObject({ status: 'failed', errorCode: 'submission_unknown' })
  })

  it('leaves a generation alone that has completed with the task: that is final, and both have the video', async () => {
    const { own, other, taskId } = await adoptedTooEarly()
    await attempts.answered(other.id, VIDEO)
    await attempts.complete(other.id)
    const before = await seed.row(other.id)
    expect((await attempts.recordResult(own.submissionId, accepted(taskId))).moved.map((move) => move.id)).toEqual([
      own.id,
    ])
    const { submissions, ...row } = await seed.row(other.id)
    expect(row).toEqual({ ...before, submissions: undefined })
    expect(submissions).toMatchObject(UNKNOWN_AGAIN.submissions)
  })

  it('ends what a failed generation was still asked about, without telling anybody twice', async () => {
    const { own, other, taskId } = await adoptedTooEarly()
    await attempts.fail(other.id, 'deadline_exceeded')
    const events = await attempts.typesOf(other.id)
    await attempts.recordResult(own.submissionId, accepted(taskId))
    expect(await seed.row(other.id)).toMatchObject(UNKNOWN_AGAIN)
    expect(await attempts.typesOf(other.id)).toEqual(events)
    await attempts.recordResult(other.submissionId, accepted(`${taskId}_late`))
    expect(await seed.row(other.id)).toMatchObject({ status: 'processing', upstreamTaskId: `${taskId}_late` })
  })

  it('leaves a retry in its place, which asks about that task no more', async () => {
    const { own, other, taskId } = await adoptedTooEarly()
    await attempts.fail(other.id, 'deadline_exceeded')
    await attempts.retryAdmitted(other.id)
    await attempts.recordResult(own.submissionId, accepted(taskId))
    expect(await attempts.begin(other.id)).toMatchObject({ kind: 'begun' })
  })

  it('fails a generation with a code of its own for which an operator had adopted without an unknown submission', async () => {
    const own = await seed.submitting()
    const other = await seed.submitting()
    await attempts.recordResult(other.submissionId, REFUSED)
    const taskId = `sora_of_${own.id}`
    await attempts.adopt(other.id, taskId)
    await attempts.recordResult(own.submissionId, accepted(taskId))
    expect(await seed.row(other.id)).toMatchObject({
      ...UNKNOWN_AGAIN,
      errorCode: 'adopted_task_reclaimed',
      submissions: [
        { state: 'rejected' },
        { state: 'rejected', errorCode: 'adopted_task_reclaimed', upstreamTaskId: null },
      ],
    })
    await attempts.retryAdmitted(other.id)
    expect(await attempts.begin(other.id)).toMatchObject({ kind: 'begun' })
  })

  it('makes an answer of a poller void that was on its way about the task', async () => {
    const { own, other, taskId } = await adoptedTooEarly()
    const { dispatchCount } = await seed.row(other.id)
    await attempts.recordResult(own.submissionId, accepted(taskId))
    await attempts.adopt(other.id, `${taskId}_right`)
    await attempts.answered(other.id, VIDEO, { upstreamTaskId: taskId, dispatchCount })
    expect((await seed.row(other.id)).answer).toBeNull()
  })

  it('is a duplicate where another submission was answered with the same task', async () => {
    const [first, second] = [await seed.submitting(), await seed.submitting()]
    await attempts.recordResult(first.submissionId, accepted('sora_twice'))
    expect(
      (await attempts.recordResult(second.submissionId, accepted('sora_twice'))).moved.map(({ id }) => id),
    ).toEqual([second.id])
    expect((await seed.row(first.id)).status).toBe('processing')
    expect((await seed.row(second.id)).submissions).toMatchObject([
      { state: 'unknown', errorCode: 'duplicate_task_id' },
    ])
  })
})
