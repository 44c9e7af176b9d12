// What follows from the outcome of a submission: one example for each rule.

import { FAILURES } from '@reelqueue/contract/terms/failure'
import { describe, expect, it } from 'vitest'
import { isRefusalDecisive, isSubmittedAgain } from './answered.ts'
import { decide } from './decide.ts'
import {
  ACCEPTED,
  answeredBy,
  BUSY,
  generation,
  NOW,
  open,
  REFUSED,
  submission,
  UNKNOWN,
  unknownFailure,
} from './examples.ts'
import type { Answered } from './outcome.ts'
import { NOTHING } from './plan.ts'
import { NO_VIDEO } from './provider.ts'
import { ASKED_ABOUT_MS, type LedgerRow, type Snapshot } from './snapshot.ts'

describe('the outcome of the current submission', () => {
  it.each<[string, Snapshot, Answered, object]>([
    [
      'accepted: it renders',
      open(),
      answeredBy('a', ACCEPTED),
      {
        move: 'accept',
        row: { taskId: 'task_new', renderFrom: 'submission', isCharged: true, error: null, dueMs: 1_000 },
      },
    ],
    ['refused for now: the next submission waits', open(), answeredBy('a', BUSY), { move: null, row: { dueMs: 5 } }],
    ['refused for a day: fails', open({ sinceAdmittedMs: 25 * 3_600_000 }), answeredBy('a', BUSY), { move: 'fail' }],
    [
      'refused: fails with the words of the provider',
      open(),
      answeredBy('a', REFUSED),
      {
        move: 'fail',
        row: { error: { code: 'refused', message: 'later' }, dueMs: null },
      },
    ],
    [
      'refused for a reason of all: waits for admission',
      open(),
      answeredBy('a', REFUSED, { isReleased: true }),
      {
        move: 'release',
        row: { isAdmitted: false, dueMs: null, isDispatchedAnew: true },
      },
    ],
    [
      'unknown: fails, charged, and keeps its slot',
      open(),
      answeredBy('a', UNKNOWN),
      {
        move: 'fail',
        row: {
          error: { code: 'submission_unknown', message: FAILURES.submission_unknown },
          dueMs: null,
          isCharged: true,
          slotMs: 60_000,
        },
      },
    ],
    [
      'unknown after a 5xx: keeps its slot for a shorter time',
      open(),
      answeredBy('a', { ...UNKNOWN, httpStatus: 502 }),
      {
        row: { slotMs: 20_000 },
      },
    ],
    [
      'unknown with consent: one more submission',
      open({ policy: 'resubmit' }),
      answeredBy('a', UNKNOWN),
      {
        move: null,
        row: { dueMs: 0, isCharged: true, slotMs: 60_000 },
      },
    ],
    [
      'the task of another submission: unknown',
      open(),
      answeredBy('a', ACCEPTED, { isDuplicate: true }),
      {
        move: 'fail',
        ledger: [{ state: 'unknown', taskId: null, error: { code: 'duplicate_task_id' } }],
      },
    ],
    ...([ACCEPTED, UNKNOWN, BUSY, REFUSED] as const).map(
      (result) =>
        [
          `${result.kind} after a cancel: cancelled`,
          open({ cancelRequested: true, policy: 'resubmit' }),
          answeredBy('a', result),
          {
            move: 'cancel',
            row: { dueMs: null, taskId: result.kind === 'accepted' ? 'task_new' : null },
          },
        ] as [string, Snapshot, Answered, object],
    ),
  ])('%s', (_, snapshot, outcome, plan) => {
    expect(decide(snapshot, outcome)).toMatchObject(plan)
  })

  it('counts unknown outcomes of this attempt, also those that were accepted later', () => {
    const second = submission('b', 'started')
    const before = (first: LedgerRow, attempt = 1) =>
      generation('submitting', [first, { ...second, attempt }], { attempt, policy: 'resubmit' })
    const again = (snapshot: Snapshot) => isSubmittedAgain(decide(snapshot, answeredBy('b', UNKNOWN)))
    expect(again(before(submission('a', 'unknown')))).toBe(false)
    expect(again(before(submission('a', 'accepted', { hasRenderFailed: true })))).toBe(false)
    expect(again(before(submission('a', 'unknown'), 2))).toBe(true)
    expect(again(before(submission('a', 'rejected')))).toBe(true)
  })

  it('counts for the gate when the refusal decides about the generation', () => {
    const refused = answeredBy('a', REFUSED)
    expect(isRefusalDecisive(open(), refused)).toBe(true)
    expect(isRefusalDecisive(open(), answeredBy('a', BUSY))).toBe(true)
    expect(isRefusalDecisive(open({ cancelRequested: true }), refused)).toBe(false)
    expect(isRefusalDecisive(generation('cancelled', [submission('a', 'started')]), refused)).toBe(false)
    const unused = generation('submitting', [submission('a', 'accepted'), submission('b', 'started')])
    expect(isRefusalDecisive(unused, answeredBy('b', REFUSED))).toBe(false)
  })
})

describe('a late outcome', () => {
  const second = (state: LedgerRow['state'], fields: Partial<Snapshot> = {}) =>
    generation('submitting', [submission('a', 'unknown'), submission('b', state)], { policy: 'resubmit', ...fields })

  it('is nothing when an outcome is recorded', () => {
    for (const state of ['accepted', 'rejected', 'unknown'] as const)
      for (const result of [UNKNOWN, BUSY, REFUSED])
        expect(decide(generation('failed', [submission('a', state)]), answeredBy('a', result))).toEqual(NOTHING)
    const accepted = generation('processing', [submission('a', 'accepted', { taskId: 'task_new' })])
    expect(decide(accepted, answeredBy('a', ACCEPTED))).toEqual(NOTHING)
  })

  it.each([
    ['failed as unknown', generation('failed', [submission('a', 'unknown')], unknownFailure)],
    ['queued again', generation('queued', [submission('a', 'unknown')], { attempt: 2, sinceAdmittedMs: null })],
  ])('accepted is taken by a generation that %s', (_, snapshot) => {
    expect(decide(snapshot, answeredBy('a', ACCEPTED))).toMatchObject({
      move: 'acceptLate',
      row: { taskId: 'task_new', isAdmitted: true, slotMs: null },
    })
  })

  it('accepted is only recorded, and charged, when the generation has ended otherwise', () => {
    for (const snapshot of [
      generation('cancelled', [submission('a', 'unknown')]),
      generation('failed', [submission('a', 'unknown')], { errorCode: 'deadline_exceeded' }),
    ]) {
      const plan = decide(snapshot, answeredBy('a', ACCEPTED))
      expect(plan).toMatchObject({ move: null, row: { isCharged: true }, ledger: [{ id: 'a', state: 'accepted' }] })
    }
  })

  it('of an earlier submission is left to the ledger while the current one is open', () => {
    const plan = decide(second('started'), answeredBy('a', ACCEPTED))
    expect(plan).toMatchObject({ move: null, row: { isCharged: true }, askAbout: null })
  })

  it('of an earlier submission is taken when the current one waits to submit again', () => {
    expect(decide(second('rejected'), answeredBy('a', ACCEPTED))).toMatchObject({
      move: 'accept',
      row: { currentSubmissionId: 'a', taskId: 'task_new', slotMs: null },
    })
    expect(decide(second('unknown', { status: 'failed', ...unknownFailure }), answeredBy('a', ACCEPTED))).toMatchObject(
      {
        move: 'acceptLate',
        row: { currentSubmissionId: 'a', slotMs: 60_000 },
      },
    )
  })

  it('of an earlier attempt is taken also when its transaction began before the current submission', () => {
    // The transaction waited for the lock of the intent, so its clock is behind.
    const current = submission('b', 'rejected', { attempt: 2, startedAtMs: NOW + 5 })
    const snapshot = generation('submitting', [submission('a', 'unknown'), current], { attempt: 2 })
    expect(decide(snapshot, answeredBy('a', ACCEPTED))).toMatchObject({ move: 'accept', row: { taskId: 'task_new' } })
  })

  it('accepted beside an adopted task has a row of its own', () => {
    const adopted = submission('a', 'accepted', { adoptedAtMs: NOW })
    expect(decide(generation('processing', [adopted]), answeredBy('a', ACCEPTED))).toMatchObject({
      move: null,
      ledger: [],
      added: { id: 'z', taskId: 'task_new', answered: 'a' },
    })
  })
})

describe('a task that another submission has', () => {
  const unused = (row: Partial<LedgerRow>, fields: Partial<Snapshot> = {}) =>
    generation(
      'submitting',
      [submission('a', 'accepted', row), submission('b', 'started', { attempt: fields.attempt ?? 1 })],
      fields,
    )

  it.each<[string, Partial<LedgerRow>, Partial<Snapshot>, boolean]>([
    ['of the same attempt', {}, {}, true],
    ['of an earlier attempt, answered since the current submission began', { settledAtMs: NOW }, { attempt: 2 }, true],
    ['of an earlier attempt, asked about before the current submission', {}, { attempt: 2 }, false],
    ['that has failed', { hasRenderFailed: true }, {}, false],
    ['that the provider has forgotten', { startedAtMs: NOW - ASKED_ABOUT_MS }, {}, false],
    ['after a cancel', {}, { cancelRequested: true }, false],
  ])('%s', (_, row, fields, isTaken) => {
    const plan = decide(unused(row, fields), answeredBy('b', BUSY))
    expect(plan.row.currentSubmissionId).toBe(isTaken ? 'a' : undefined)
  })

  it('is polled after the present task has failed, the latest first; the submission that failed is marked', () => {
    const ledger = [submission('a', 'accepted'), submission('b', 'accepted'), submission('c', 'accepted')]
    const plan = decide(generation('processing', ledger, { answer: NO_VIDEO }), { kind: 'ended' })
    expect(plan).toMatchObject({ move: 'fail', ledger: [{ id: 'c', hasRenderFailed: true }], askAbout: 'b' })
  })

  it('is polled after a refusal, and not while another task is polled', () => {
    expect(decide(unused({}, { attempt: 2 }), answeredBy('b', REFUSED))).toMatchObject({ move: 'fail', askAbout: 'a' })
    const polled = generation('failed', [submission('a', 'unknown'), submission('b', 'rejected')], { isDue: true })
    expect(decide(polled, answeredBy('a', ACCEPTED)).askAbout).toBeNull()
    expect(decide({ ...polled, isDue: false }, answeredBy('a', ACCEPTED)).askAbout).toBe('a')
  })
})
