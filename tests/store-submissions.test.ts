// The submission ledger on a real Postgres. Interleavings are forced by locks; the test sees the contenders wait.

import { cancelGeneration } from '@reelqueue/shared/store/lifecycle/cancellation'
import { recordOutcome, type SubmissionResult } from '@reelqueue/shared/store/lifecycle/record-outcome'
import { beginSubmission } from '@reelqueue/shared/store/lifecycle/submissions'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  beginRequestFor,
  intentOf,
  LEASE_MS,
  SETTLING,
  type Seed,
  type Submitting,
  seedDatabase,
} from './support/seed.ts'

const UNKNOWN = { kind: 'unknown', code: 'timeout', message: 'no answer', httpStatus: null } as const
const BUSY = {
  kind: 'rejected',
  code: 'http_429',
  message: 'later',
  httpStatus: 429,
  retryable: true,
  backoffMs: 30_000,
} as const
const REFUSED = { ...BUSY, code: 'upstream_1001', message: 'no', httpStatus: 200, retryable: false } as const
const accepted = (taskId: string): SubmissionResult => ({ kind: 'accepted', taskId })

let seed: Seed
beforeAll(async () => {
  seed = await seedDatabase()
})
afterAll(() => seed.close())

const begin = (id: string) => beginSubmission(seed.database, beginRequestFor(id), 'globalai', LEASE_MS)
const recordResult = (submissionId: string, result: SubmissionResult) =>
  recordOutcome(seed.database, submissionId, result, SETTLING)
const cancel = (id: string) => cancelGeneration(seed.database, id, SETTLING.renderMaxMs)
const lockOf = (id: string) => `SELECT 1 FROM generations WHERE id = '${id}' FOR UPDATE`
const typesOf = async (id: string) => (await seed.events(id)).map((event) => event.type)

async function letLeaseRunOut(submissionId: string): Promise<void> {
  await seed.sql(`UPDATE submissions SET lease_until = now() - interval '1 ms' WHERE id = $1`, [submissionId])
}
async function letBackoffEnd(submissionId: string): Promise<void> {
  await seed.sql(`UPDATE submissions SET retry_at = now() - interval '1 ms' WHERE id = $1`, [submissionId])
}

describe('beginning a submission', () => {
  it('commits the intent with its lease before anything is paid', async () => {
    const id = await seed.admitted({ prompt: 'p', size: '1280x720', seconds: 8, inputReference: ['https://e.com/a'] })
    expect(intentOf(await begin(id))).toMatchObject({
      number: 1,
      request: { prompt: 'p', size: '1280x720', seconds: 8, inputReference: ['https://e.com/a'] },
    })
    const row = await seed.row(id)
    expect(row).toMatchObject({ status: 'submitting', submissions: [{ state: 'started', upstream: 'globalai' }] })
    expect(row.dueAt?.getTime()).toBeGreaterThan(row.submissions[0]?.leaseUntil.getTime() ?? Number.NaN)
  })

  it('measures its lease by the clock of the database, whatever that of this machine says', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
    try {
      const { id, submissionId } = await seed.submitting()
      expect((await begin(id)).kind).toBe('wait')
      const [ledger] = await seed.sql<{ leaseMs: number }>(
        `SELECT (extract(epoch FROM lease_until - now()) * 1000)::int AS "leaseMs" FROM submissions WHERE id = $1`,
        [submissionId],
      )
      expect(ledger?.leaseMs).toBeGreaterThan(LEASE_MS - 10_000)
      expect(ledger?.leaseMs).toBeLessThanOrEqual(LEASE_MS)
    } finally {
      vi.useRealTimers()
    }
  })

  it('waits while a submission is open', async () => {
    const { id } = await seed.submitting()
    const again = await begin(id)
    expect(again.kind).toBe('wait')
    expect(again.kind === 'wait' && again.waitMs > 0 && again.waitMs <= LEASE_MS).toBe(true)
    expect((await seed.row(id)).submissions).toHaveLength(1)
  })

  it('gives two workers at the same instant exactly one intent', async () => {
    const id = await seed.admitted()
    const results = await seed.collide(lockOf(id), [() => begin(id), () => begin(id), () => begin(id)])
    expect(results.map((result) => result.kind).sort()).toEqual(['begun', 'wait', 'wait'])
    expect((await seed.row(id)).submissions).toHaveLength(1)
    expect(await typesOf(id)).toEqual(['generation.queued', 'generation.submitting'])
  })

  it('finds nothing to do for rows that are not admitted, have moved on, or do not exist', async () => {
    const waiting = await seed.queued()
    expect(await begin(waiting)).toEqual({ kind: 'moved_on' })
    expect(await begin(await seed.processing())).toEqual({ kind: 'moved_on' })
    expect(await begin('gen_none')).toEqual({ kind: 'moved_on' })
    await cancel(waiting)
    expect(await begin(waiting)).toEqual({ kind: 'moved_on' })
  })

  it('after a certain refusal waits out the back-off, and then submits again', async () => {
    const { id, submissionId } = await seed.submitting()
    expect(await recordResult(submissionId, BUSY)).toEqual({ status: 'submitting', moved: [] })
    const wait = await begin(id)
    expect(wait.kind === 'wait' && wait.waitMs > 29_000 && wait.waitMs <= 30_000).toBe(true)
    expect((await seed.row(id)).dueAt?.getTime()).toBeGreaterThan(Date.now() + 25_000)
    await letBackoffEnd(submissionId)
    expect(intentOf(await begin(id)).number).toBe(2)
    expect((await seed.row(id)).submissions.map((one) => one.state)).toEqual(['rejected', 'started'])
  })
})

describe('settling a submission', () => {
  it('accepted: the task id is on the row and in the ledger, and the first poll is due', async () => {
    const { id, submissionId } = await seed.submitting()
    expect(await recordResult(submissionId, accepted('sora_a'))).toMatchObject({
      status: 'processing',
      moved: [{ id }],
    })
    const row = await seed.row(id)
    expect(row).toMatchObject({ status: 'processing', upstreamTaskId: 'sora_a', submissions: [{ state: 'accepted' }] })
    expect(row.submissions[0]?.upstreamTaskId).toBe('sora_a')
    // The provider may have begun at the moment of the request: the link's day counts from then.
    expect(row.submittedAt).toEqual(row.submissions[0]?.startedAt)
    const settledAt = row.submissions[0]?.settledAt?.getTime() ?? 0
    const firstPollInMs = (row.dueAt?.getTime() ?? 0) - settledAt
    expect(firstPollInMs).toBeLessThanOrEqual(SETTLING.firstPollMs)
    expect(firstPollInMs).toBeGreaterThan(SETTLING.firstPollMs / 2)
  })

  it('refused for good: failed with the code and message of the provider', async () => {
    const { id, submissionId } = await seed.submitting()
    await recordResult(submissionId, REFUSED)
    expect(await seed.row(id)).toMatchObject({
      status: 'failed',
      errorCode: 'upstream_1001',
      errorMessage: 'no',
      dueAt: null,
    })
  })

  it('refused for a day: failed, not retried for ever', async () => {
    const { id, submissionId } = await seed.submitting()
    await seed.sql(`UPDATE generations SET admitted_at = now() - interval '25 hours' WHERE id = $1`, [id])
    expect(await recordResult(submissionId, BUSY)).toMatchObject({ status: 'failed' })
    expect(await seed.row(id)).toMatchObject({ errorCode: 'http_429' })
  })

  it('never overwrites a first outcome', async () => {
    const { id, submissionId } = await seed.submitting()
    await recordResult(submissionId, accepted('sora_first'))
    for (const late of [UNKNOWN, REFUSED, BUSY, accepted('sora_other')]) {
      expect(await recordResult(submissionId, late)).toEqual({ status: 'unchanged', moved: [] })
    }
    expect(await seed.row(id)).toMatchObject({ status: 'processing', upstreamTaskId: 'sora_first' })
  })

  it('is an error for a submission that was never begun', async () => {
    await expect(recordResult('sub_none', UNKNOWN)).rejects.toThrow('sub_none')
  })
})

describe('an unknown outcome', () => {
  it('after a lease has run out fails the generation with exactly one event, and nothing submits again', async () => {
    const { id, submissionId } = await seed.submitting()
    await letLeaseRunOut(submissionId)
    expect(await begin(id)).toEqual({ kind: 'expired', submissionId })
    const results = await seed.collide(lockOf(id), [
      () => recordResult(submissionId, UNKNOWN),
      () => recordResult(submissionId, UNKNOWN),
    ])
    expect(results.map((result) => result.status)).toEqual(['failed', 'unchanged'])
    expect(await seed.row(id)).toMatchObject({ status: 'failed', errorCode: 'submission_unknown', dueAt: null })
    expect(await typesOf(id)).toEqual(['generation.queued', 'generation.submitting', 'generation.failed'])
    expect(await begin(id)).toEqual({ kind: 'moved_on' })
  })

  it.each(['expiry first', 'answer first'])(
    'and a late accepted at the same instant end in processing (%s)',
    async (order) => {
      const { id, submissionId } = await seed.submitting()
      const expiry = () => recordResult(submissionId, UNKNOWN)
      const answer = () => recordResult(submissionId, accepted(`sora_late_${order}`))
      await seed.collide(lockOf(id), order === 'expiry first' ? [expiry, answer] : [answer, expiry])
      const row = await seed.row(id)
      expect(row).toMatchObject({
        status: 'processing',
        upstreamTaskId: `sora_late_${order}`,
        errorCode: null,
        errorMessage: null,
        finishedAt: null,
        submissions: [{ state: 'accepted', upstreamTaskId: `sora_late_${order}`, errorCode: null }],
      })
      expect(row.dueAt).not.toBeNull()
      const sequence = (await seed.events(id)).map((event) => event.sequence)
      expect(sequence).toEqual(sequence.map((_, index) => index + 1))
    },
  )

  it('with resubmit leads to one more submission and never to a third', async () => {
    const { id, submissionId } = await seed.submitting({ onUnknownSubmission: 'resubmit' })
    expect(await recordResult(submissionId, UNKNOWN)).toEqual({ status: 'submitting', moved: [] })
    const second = intentOf(await begin(id))
    expect(second.number).toBe(2)
    expect(await recordResult(second.submissionId, UNKNOWN)).toMatchObject({ status: 'failed' })
    expect(await begin(id)).toEqual({ kind: 'moved_on' })
    expect(await seed.row(id)).toMatchObject({ errorCode: 'submission_unknown' })
  })

  it('of a resubmission whose first answer has come meanwhile leads to no third, even once that task is forgotten', async () => {
    const { id, submissionId } = await seed.submitting({ onUnknownSubmission: 'resubmit' })
    await recordResult(submissionId, UNKNOWN)
    const second = intentOf(await begin(id)).submissionId
    await recordResult(submissionId, accepted(`sora_${id}`))
    await seed.sql(`UPDATE submissions SET started_at = now() - interval '25 hours' WHERE id = $1`, [submissionId])
    await recordResult(second, UNKNOWN)
    expect(await seed.row(id)).toMatchObject({ status: 'failed', errorCode: 'submission_unknown' })
    expect(await begin(id)).toEqual({ kind: 'moved_on' })
  })

  it('is corrected in the ledger when the first answer comes after the resubmission, and the second one still counts', async () => {
    const { id, submissionId } = await seed.submitting({ onUnknownSubmission: 'resubmit' })
    await recordResult(submissionId, UNKNOWN)
    const second = intentOf(await begin(id))
    expect(await recordResult(submissionId, accepted('sora_1st'))).toEqual({ status: 'unchanged', moved: [] })
    await recordResult(second.submissionId, accepted('sora_2nd'))
    const row = await seed.row(id)
    expect(row).toMatchObject({ status: 'processing', upstreamTaskId: 'sora_2nd' })
    expect(row.submissions.map((one) => one.upstreamTaskId)).toEqual(['sora_1st', 'sora_2nd'])
  })

  it('is what a task id of another submission means', async () => {
    const first = await seed.submitting()
    const second = await seed.submitting()
    await recordResult(first.submissionId, accepted('sora_twice'))
    await recordResult(second.submissionId, accepted('sora_twice'))
    expect(await seed.row(first.id)).toMatchObject({ status: 'processing', upstreamTaskId: 'sora_twice' })
    expect(await seed.row(second.id)).toMatchObject({
      status: 'failed',
      errorCode: 'submission_unknown',
      upstreamTaskId: null,
      submissions: [{ state: 'unknown', errorCode: 'duplicate_task_id' }],
    })
  })
})

describe('a cancel while a submission is open', () => {
  async function requested(onUnknownSubmission: 'fail' | 'resubmit' = 'resubmit'): Promise<Submitting> {
    const open = await seed.submitting({ onUnknownSubmission })
    expect(await cancel(open.id)).toEqual({ kind: 'requested' })
    expect(await seed.row(open.id)).toMatchObject({ status: 'submitting', cancelRequestedAt: expect.any(Date) })
    return open
  }

  it.each([
    ['accepted', accepted('sora_cancelled'), true],
    ['unknown', UNKNOWN, true],
    ['certainly refused', BUSY, false],
    ['refused for good', REFUSED, false],
  ])('ends in cancelled when it is %s; it is never submitted again', async (_name, result, mayRender) => {
    const { id, submissionId } = await requested()
    expect(await recordResult(submissionId, result)).toMatchObject({ status: 'cancelled', moved: [{ id }] })
    const row = await seed.row(id)
    expect(row).toMatchObject({ status: 'cancelled', dueAt: null, errorCode: null })
    expect(row.upstreamTaskId).toBe(result.kind === 'accepted' ? result.taskId : null)
    expect(row.slotUntil !== null).toBe(mayRender)
    expect(await begin(id)).toEqual({ kind: 'moved_on' })
    expect((await typesOf(id)).at(-1)).toBe('generation.cancelled')
  })

  it('stays cancelled when the task turns out to exist; the ledger has its id', async () => {
    const { id, submissionId } = await requested()
    await recordResult(submissionId, UNKNOWN)
    expect(await recordResult(submissionId, accepted('sora_orphan'))).toEqual({ status: 'unchanged', moved: [] })
    expect(await seed.row(id)).toMatchObject({
      status: 'cancelled',
      submissions: [{ state: 'accepted', upstreamTaskId: 'sora_orphan' }],
    })
  })

  it('may be repeated, and keeps its first time', async () => {
    const { id } = await requested()
    const { cancelRequestedAt } = await seed.row(id)
    expect(await cancel(id)).toEqual({ kind: 'requested' })
    expect((await seed.row(id)).cancelRequestedAt).toEqual(cancelRequestedAt)
  })

  it('either comes before the intent, and nothing is paid, or waits for the outcome', async () => {
    const first = await seed.admitted()
    const [cancelled, late] = await seed.collide<unknown>(lockOf(first), [() => cancel(first), () => begin(first)])
    expect([cancelled, late]).toMatchObject([{ kind: 'cancelled' }, { kind: 'moved_on' }])
    expect((await seed.row(first)).submissions).toEqual([])

    const second = await seed.admitted()
    const [begun, asked] = await seed.collide<unknown>(lockOf(second), [() => begin(second), () => cancel(second)])
    expect([begun, asked]).toMatchObject([{ kind: 'begun' }, { kind: 'requested' }])
  })
})

describe('a cancel without an open submission', () => {
  it('is immediate while a refused submission waits for its next try', async () => {
    const { id, submissionId } = await seed.submitting()
    await recordResult(submissionId, BUSY)
    expect(await cancel(id)).toMatchObject({ kind: 'cancelled', moved: [{ id }] })
    await letBackoffEnd(submissionId)
    expect(await begin(id)).toEqual({ kind: 'moved_on' })
  })

  it('is too late after an end, and harmless when repeated', async () => {
    const failed = await seed.submitting()
    await recordResult(failed.submissionId, REFUSED)
    expect(await cancel(failed.id)).toEqual({ kind: 'ended', status: 'failed', moved: [] })
    const id = await seed.processing()
    expect(await cancel(id)).toMatchObject({ kind: 'cancelled', moved: [{ id }] })
    expect(await cancel(id)).toEqual({ kind: 'cancelled', moved: [] })
    expect((await typesOf(id)).filter((type) => type === 'generation.cancelled')).toHaveLength(1)
  })
})
