// What follows from terminal answers and from requests, and when a submission begins: one example for each rule.
// answered.test.ts has the outcomes of submissions; histories.test.ts tries all rules together.

import { describe, expect, it } from 'vitest'
import { canHaveMadeTask } from './asked.ts'
import { beginning } from './begin.ts'
import { decide } from './decide.ts'
import { generation, NOW, open, submission } from './examples.ts'
import { NOTHING } from './plan.ts'
import { NO_VIDEO, VIDEO } from './provider.ts'
import type { LedgerRow, Snapshot } from './snapshot.ts'

describe('a terminal answer', () => {
  it('ends a rendering generation, and completes a failed one late', () => {
    const ledger = [submission('a', 'accepted')]
    const slots = { slotMs: null }
    expect(decide(generation('processing', ledger, { answer: VIDEO }), { kind: 'ended' })).toEqual({
      ...NOTHING,
      move: 'complete',
    })
    expect(decide(generation('failed', ledger, { answer: VIDEO }), { kind: 'ended' })).toEqual({
      ...NOTHING,
      move: 'completeLate',
      row: slots,
    })
    const confirmed = decide(generation('failed', ledger, { answer: NO_VIDEO, taskId: 'task_a' }), { kind: 'ended' })
    expect(confirmed).toMatchObject({
      move: null,
      row: { answer: null, dueMs: null, slotMs: null },
      ledger: [{ id: 'a' }],
    })
    expect(decide(generation('cancelled', ledger, { answer: VIDEO }), { kind: 'ended' })).toEqual(NOTHING)
  })

  it('about a former task resumes a retry before its payment', () => {
    const outcome = { kind: 'found', taskId: 'task_a', answer: VIDEO } as const
    const ledger = [submission('a', 'accepted'), submission('b', 'rejected')]
    expect(decide(generation('queued', ledger), outcome)).toMatchObject({
      move: 'resume',
      row: { currentSubmissionId: 'a', taskId: 'task_a', renderFrom: 'seen', answer: VIDEO, slotMs: null },
    })
    expect(
      decide(generation('submitting', [submission('a', 'accepted'), submission('b', 'started')]), outcome),
    ).toEqual(NOTHING)
    expect(decide(generation('processing', ledger), outcome)).toEqual(NOTHING)
    expect(decide(generation('queued', ledger), { ...outcome, taskId: 'task_x' })).toEqual(NOTHING)
  })
})

describe('a request', () => {
  const cancel = { kind: 'cancel', renderMaxMs: 60_000 } as const

  it('to cancel ends an open generation, waits for an open submission, and takes a success', () => {
    expect(decide(open(), cancel)).toEqual({ ...NOTHING, row: { isCancelRequested: true } })
    const rendering = generation('processing', [submission('a', 'accepted')])
    expect(decide(rendering, cancel)).toMatchObject({ move: 'cancel', row: { dueMs: null, slotMs: 60_000 } })
    expect(decide({ ...rendering, answer: VIDEO }, cancel).move).toBe('complete')
    expect(decide(generation('queued', []), cancel)).toEqual({
      ...NOTHING,
      move: 'cancel',
      row: { dueMs: null, answer: null },
    })
    for (const status of ['failed', 'completed', 'cancelled'] as const)
      expect(decide(generation(status, [submission('a', 'accepted')], { answer: VIDEO }), cancel)).toEqual(NOTHING)
  })

  it('to retry queues the next attempt of a failed generation, and takes a success', () => {
    const failed = generation('failed', [submission('a', 'unknown')])
    expect(decide(failed, { kind: 'retry' })).toMatchObject({
      move: 'retry',
      row: { attempt: 2, isAdmitted: false, isDispatchedAnew: true, error: null, answer: null, dueMs: null },
    })
    expect(decide({ ...failed, answer: VIDEO }, { kind: 'retry' }).move).toBe('completeLate')
    expect(decide(generation('processing', [submission('a', 'accepted')]), { kind: 'retry' })).toEqual(NOTHING)
  })

  it('to adopt settles the unknown submission, the current one first; else the ledger gets a row', () => {
    const adopt = { kind: 'adopt', taskId: 'task_x', newId: 'z' } as const
    const [first, last, refused] = [submission('a', 'unknown'), submission('b', 'unknown'), submission('c', 'rejected')]
    const settledBy = (...ledger: LedgerRow[]) => decide(generation('failed', ledger), adopt)
    expect(settledBy(first, last)).toMatchObject({
      move: 'adopt',
      ledger: [{ id: 'b', isAdopted: true }],
      row: { slotMs: null, isCharged: true },
    })
    expect(settledBy(first, last, refused)).toMatchObject({ ledger: [{ id: 'b' }], row: { currentSubmissionId: 'b' } })
    expect(settledBy(first, last, refused).row).not.toHaveProperty('slotMs')
    expect(settledBy(refused)).toMatchObject({
      ledger: [],
      added: { id: 'z', answered: null },
      row: { currentSubmissionId: 'z' },
    })
    const own = submission('d', 'accepted', { taskId: 'task_x' })
    expect(settledBy(own, last)).toMatchObject({ ledger: [], added: null, row: { currentSubmissionId: 'd' } })
    expect(decide(generation('failed', [last], { answer: VIDEO }), adopt).move).toBe('completeLate')
    expect(decide(generation('cancelled', [last]), adopt)).toEqual(NOTHING)
  })

  it('to adopt needs a submission that may have made the task, unless an operator asks', () => {
    const canHave = (row: LedgerRow) => canHaveMadeTask(generation('failed', [row]))
    expect(canHave(submission('a', 'unknown'))).toBe(true)
    expect(canHave(submission('a', 'accepted', { adoptedAtMs: NOW }))).toBe(true)
    expect(canHave(submission('a', 'accepted'))).toBe(false)
    expect(canHave(submission('a', 'accepted', { startedAtMs: NOW, adoptedAtMs: NOW }))).toBe(false)
  })

  it('for an adopted task by its owner takes the task away, and asks about another one', () => {
    const own = submission('b', 'accepted', { adoptedAtMs: NOW })
    const reclaim = { kind: 'reclaimed', submissionId: 'b', taskId: 'task_b', renderMaxMs: 60_000 } as const
    const slotAtLeastMs = 60_000 - (NOW - own.startedAtMs)
    expect(decide(generation('processing', [own]), reclaim)).toMatchObject({
      move: 'fail',
      ledger: [{ id: 'b', state: 'unknown', taskId: null }],
      row: { taskId: null, dueMs: null, slotAtLeastMs },
    })
    const added = { ...own, startedAtMs: NOW }
    const plan = decide(generation('failed', [submission('a', 'accepted'), added], { isDue: true }), reclaim)
    expect(plan).toMatchObject({
      move: null,
      ledger: [{ state: 'rejected' }],
      row: { error: { code: 'adopted_task_reclaimed' } },
      askAbout: 'a',
    })
    const moved = generation('processing', [own, submission('c', 'accepted')])
    expect(decide(moved, reclaim)).toMatchObject({ move: null, row: {}, ledger: [{ id: 'b' }] })
    expect(decide(generation('completed', [own]), reclaim)).toMatchObject({ move: null, row: {} })
    expect(decide(generation('processing', [{ ...own, adoptedAtMs: null }]), reclaim)).toEqual(NOTHING)
  })
})

describe('a submission', () => {
  const begin = (snapshot: Snapshot, fields: Partial<Parameters<typeof beginning>[1]> = {}) =>
    beginning(snapshot, { isHeld: false, askedTaskIds: [], ...fields })

  it('begins for an admitted generation, or after a certain refusal, unless something holds it', () => {
    expect(begin(generation('queued', []))).toEqual({ kind: 'begin' })
    expect(begin(generation('queued', [], { sinceAdmittedMs: null }))).toEqual({ kind: 'moved_on' })
    expect(begin(generation('failed', [submission('a', 'rejected')]))).toEqual({ kind: 'moved_on' })
    expect(begin(generation('submitting', [submission('a', 'rejected')]))).toEqual({ kind: 'begin' })
    expect(begin(generation('submitting', [submission('a', 'rejected')], { waitMs: 7 }))).toEqual({
      kind: 'wait',
      waitMs: 7,
    })
    expect(begin(open({ waitMs: 7 }), { isHeld: true })).toEqual({ kind: 'wait', waitMs: 7 })
    expect(begin(open({ waitMs: -7 }), { isHeld: true })).toEqual({ kind: 'expired', submissionId: 'a' })
    expect(begin(generation('queued', []), { isHeld: true })).toEqual({ kind: 'held' })
  })

  it('begins after each remembered task of previous attempts was asked about, the latest first', () => {
    const ledger = [submission('a', 'accepted'), submission('b', 'accepted'), submission('c', 'rejected')]
    const queued = generation('queued', ledger, { attempt: 2 })
    expect(begin(queued)).toEqual({ kind: 'ask_first', taskId: 'task_b' })
    expect(begin(queued, { askedTaskIds: ['task_b'] })).toEqual({ kind: 'ask_first', taskId: 'task_a' })
    expect(begin(queued, { askedTaskIds: ['task_a', 'task_b'] })).toEqual({ kind: 'begin' })
    expect(begin(queued, { isHeld: true })).toEqual({ kind: 'held' })
    expect(begin({ ...queued, currentSubmissionId: 'a' })).toEqual({ kind: 'ask_first', taskId: 'task_a' })
  })
})
