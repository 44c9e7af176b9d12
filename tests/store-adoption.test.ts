// A failed generation adopts a task found by hand, on a real Postgres.

import { cancelGeneration } from '@reelqueue/shared/store/lifecycle/cancellation'
import { claimDuePolls, failOverdue } from '@reelqueue/shared/store/lifecycle/polling'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attemptsOn, lockOf, REFUSED, VIDEO } from './support/attempts.ts'
import { SETTLING, type Seed, seedDatabase, taskIdOf } from './support/seed.ts'

let seed: Seed
let attempts: ReturnType<typeof attemptsOn>
beforeAll(async () => {
  seed = await seedDatabase()
  attempts = attemptsOn(seed)
})
afterAll(() => seed.close())

describe('adopting', () => {
  it('settles the unknown submission with the task, and resumes polling at once', async () => {
    const { id, submissionId } = await attempts.unknown()
    expect(await attempts.adopt(id, 'sora_found')).toMatchObject({ kind: 'adopted', moved: [{ id }] })
    const row = await seed.row(id)
    expect(row).toMatchObject({
      status: 'processing',
      upstreamTaskId: 'sora_found',
      currentSubmissionId: submissionId,
      errorCode: null,
      finishedAt: null,
      slotUntil: null,
      submissions: [{ state: 'accepted', upstreamTaskId: 'sora_found', adoptedAt: expect.any(Date), errorCode: null }],
    })
    // The day of the video link may have begun at the request; the deadline starts again.
    expect(row.lastPendingAt).toEqual(row.submissions[0]?.startedAt)
    const poll = (await claimDuePolls(seed.database, 10, 1_000)).find((one) => one.id === id)
    expect(poll).toMatchObject({ upstreamTaskId: 'sora_found', isAdopted: true })
    expect((await attempts.typesOf(id)).at(-1)).toBe('processing')
  })

  it('adds a row to the ledger when no submission can have made the task', async () => {
    const { id, submissionId } = await seed.submitting()
    await attempts.recordResult(submissionId, REFUSED)
    await attempts.adopt(id, 'sora_by_hand')
    const row = await seed.row(id)
    expect(row.submissions).toMatchObject([
      { state: 'rejected' },
      { state: 'accepted', upstreamTaskId: 'sora_by_hand', adoptedAt: expect.any(Date) },
    ])
    expect(row).toMatchObject({ status: 'processing', currentSubmissionId: row.submissions[1]?.id, mayBeCharged: true })
    expect(row.lastPendingAt).toEqual(row.createdAt)
  })

  it('is for operators where every submission was answered; a submission that adopted wrongly may adopt again', async () => {
    const { id, submissionId } = await seed.submitting()
    await attempts.recordResult(submissionId, REFUSED)
    expect(await attempts.adopt(id, `sora_a_${id}`, { isOperator: false })).toEqual({ kind: 'nothing_unknown' })

    const unknown = (await attempts.unknown()).id
    await attempts.adopt(unknown, `sora_a_${unknown}`, { isOperator: false })
    await attempts.fail(unknown, 'adopted_task_unknown')
    expect((await attempts.adopt(unknown, `sora_b_${unknown}`, { isOperator: false })).kind).toBe('adopted')
  })

  it('changes nothing before the provider was asked, and says first what stands in the way', async () => {
    const { id } = await attempts.unknown()
    const before = await seed.row(id)
    expect(await attempts.adopt(id, 'sora_ask', { task: null, slots: 0 })).toEqual({ kind: 'ask' })
    expect(await seed.row(id)).toEqual(before)
    const taken = taskIdOf(await seed.processing())
    expect(await attempts.adopt(id, taken, { task: null })).toEqual({ kind: 'taken' })
  })

  it.each([
    ['of all', { slots: 1 }],
    ['of its model', { slotsPerModel: { openAiSora2Plus: 1 } }],
  ])('of a task that renders needs a free slot %s; of one that has ended it needs none', async (_, limit) => {
    await seed.processing()
    const { id } = await attempts.unknown()
    expect(await attempts.adopt(id, `sora_full_${id}`, limit)).toEqual({ kind: 'full' })
    expect(await seed.row(id)).toMatchObject({ status: 'failed', submissions: [{ state: 'unknown' }] })
    expect((await attempts.adopt(id, `sora_full_${id}`, { ...limit, task: 'ended' })).kind).toBe('adopted')
  })

  it('takes its slot at once: nothing is admitted in its place', async () => {
    const { id } = await attempts.unknown()
    await seed.sql(`UPDATE projects SET max_in_flight = 1 + (SELECT count(*) FROM generations
      WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing'))`)
    try {
      expect((await attempts.adopt(id, `sora_slot_${id}`)).kind).toBe('adopted')
      const waits = await seed.queued()
      await attempts.admit()
      expect((await seed.row(waits)).admittedAt).toBeNull()
    } finally {
      await seed.sql('UPDATE projects SET max_in_flight = NULL')
    }
  })

  it('settles the submission whose outcome is unknown, also when another one came after it', async () => {
    const first = await attempts.unknown({ onUnknownSubmission: 'resubmit' })
    const begun = await attempts.begin(first.id)
    if (begun.kind !== 'begun') throw new Error(begun.kind)
    await attempts.recordResult(begun.intent.submissionId, REFUSED)
    await attempts.adopt(first.id, `sora_1_${first.id}`, { isOperator: false })
    expect(await seed.row(first.id)).toMatchObject({
      status: 'processing',
      currentSubmissionId: first.submissionId,
      submissions: [{ state: 'accepted', upstreamTaskId: `sora_1_${first.id}` }, { state: 'rejected' }],
    })
  })

  it('is refused for a task of another generation, also at the same instant', async () => {
    const taken = await seed.processing()
    const { id } = await attempts.unknown()
    expect(await attempts.adopt(id, taskIdOf(taken))).toEqual({ kind: 'taken' })
    expect((await seed.row(id)).status).toBe('failed')

    const other = await attempts.unknown()
    const results = await seed.collide('LOCK TABLE submissions IN SHARE MODE', [
      () => attempts.adopt(id, 'sora_one'),
      () => attempts.adopt(other.id, 'sora_one'),
    ])
    expect(results.map((result) => result.kind).sort()).toEqual(['adopted', 'taken'])
  })

  it('may be repeated when its answer was lost, and may go back to a task of its own', async () => {
    const { id } = await attempts.unknown()
    await attempts.adopt(id, 'sora_again')
    expect(await attempts.adopt(id, 'sora_again')).toEqual({ kind: 'adopted', moved: [] })
    await failOverdue(
      seed.database,
      [{ id, upstreamTaskId: 'sora_again', dispatchCount: 1 }],
      'deadline_exceeded',
      SETTLING.renderMaxMs,
    )
    expect(await attempts.adopt(id, 'sora_again')).toMatchObject({ kind: 'adopted', moved: [{ id }] })
    expect((await seed.row(id)).submissions).toHaveLength(1)
  })

  it('of another task than the submission had made leaves room for the late answer in the ledger', async () => {
    const { id, submissionId } = await attempts.unknown()
    await attempts.adopt(id, `sora_wrong_${id}`)
    const late = { kind: 'accepted', taskId: `sora_true_${id}` } as const
    expect(await attempts.recordResult(submissionId, late)).toEqual({ status: 'unchanged', moved: [] })
    await attempts.recordResult(submissionId, late)
    const { submissions, upstreamTaskId } = await seed.row(id)
    expect(upstreamTaskId).toBe(`sora_wrong_${id}`)
    expect(submissions.map((one) => one.upstreamTaskId)).toEqual([`sora_wrong_${id}`, `sora_true_${id}`])
  })

  it('and the late answer of that submission agree: the task is recorded once', async () => {
    const { id, submissionId } = await attempts.unknown()
    await seed.collide<unknown>(lockOf(id), [
      () => attempts.adopt(id, 'sora_both'),
      () => attempts.recordResult(submissionId, { kind: 'accepted', taskId: 'sora_both' }),
    ])
    expect(await seed.row(id)).toMatchObject({
      status: 'processing',
      upstreamTaskId: 'sora_both',
      submissions: [{ upstreamTaskId: 'sora_both' }],
    })
  })
})

describe('a success that waits on the row', () => {
  it.each(['adopt', 'cancel'] as const)('is not thrown away by %s', async (what) => {
    const id = what === 'adopt' ? await attempts.overdue() : await seed.processing()
    await attempts.answered(id, VIDEO)
    const result =
      what === 'adopt'
        ? await attempts.adopt(id, `sora_other_${id}`)
        : await cancelGeneration(seed.database, id, SETTLING.renderMaxMs)
    expect(result).toMatchObject({ moved: [{ id }] })
    expect(await seed.row(id)).toMatchObject({ status: 'completed', videoUrl: 'https://v/1', slotUntil: null })
  })
})
