import { pollLimits } from '@reelqueue/shared/domain/poll-plan'
import type { PollAnswer } from '@reelqueue/shared/providers/port'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import type { DuePoll } from '@reelqueue/shared/store/lifecycle/polling'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readAnswer } from './read-answer.ts'

const HOUR = 3_600_000
const LIMITS = pollLimits(30_000, 60_000, 2 * HOUR, CONFIGURED.facts)
const CONTEXT = { schedule: null, isBusy: false }

const COMPLETED = { kind: 'completed', videoUrl: 'https://v', actualDuration: 8.04, cost: null } as const
const FAILED = { kind: 'failed', code: 'upstream_failed', message: 'no', cost: null } as const
const PENDING = { kind: 'pending', status: 'processing', completedWithoutUrl: false } as const
const WITHOUT_URL = { kind: 'pending', status: 'completed', completedWithoutUrl: true } as const
const UNAVAILABLE = {
  kind: 'unavailable',
  httpStatus: 503,
  code: 'http_503',
  message: 'later',
  retryAfterMs: null,
} as const

function read(answer: PollAnswer, poll: Partial<DuePoll> = {}) {
  const due: DuePoll = {
    id: 'gen_1',
    upstreamTaskId: 'sora_1',
    status: 'processing',
    elapsedMs: 60_000,
    model: 'openAiSora2Plus',
    seconds: null,
    size: null,
    pollFailures: 0,
    dispatchCount: 0,
    isAdopted: false,
    ...poll,
  }
  return readAnswer(due, answer, CONTEXT, LIMITS)
}

describe('a task that the provider does not know', () => {
  const unknown = { ...UNAVAILABLE, httpStatus: 404, isUnknownTask: true } as const
  const FEW = 5 * 60_000

  it('that was adopted fails its generation after five minutes, and is asked about no more', () => {
    expect(read(unknown, { isAdopted: true, elapsedMs: FEW - 1 }).overdue).toBeNull()
    expect(read(unknown, { isAdopted: true, elapsedMs: FEW }).overdue).toBe('adopted_task_unknown')
    const { record } = read(unknown, { isAdopted: true, elapsedMs: FEW, status: 'failed' })
    expect(record.nextMs).toBeNull()
  })

  it('is waited for when the provider had named it itself, or says nothing of it', () => {
    expect(read(unknown, { elapsedMs: FEW }).overdue).toBeNull()
    expect(read(UNAVAILABLE, { isAdopted: true, elapsedMs: FEW }).overdue).toBeNull()
    expect(read(PENDING, { isAdopted: true, elapsedMs: FEW }).overdue).toBeNull()
  })
})

describe('readAnswer', () => {
  it.each([COMPLETED, FAILED])('leaves a terminal answer ($kind) on the row for complete, at any time', (answer) => {
    for (const status of ['processing', 'failed'] as const) {
      for (const elapsedMs of [0, 3 * HOUR, 30 * HOUR]) {
        const { record, overdue } = read(answer, { status, elapsedMs, pollFailures: 3 })
        expect(record).toEqual({
          id: 'gen_1',
          upstreamTaskId: 'sora_1',
          dispatchCount: 0,
          nextMs: 0,
          sawPending: false,
          pollFailures: 0,
          answer,
        })
        expect(overdue).toBeNull()
      }
    }
  })

  it('asks again while the task is unfinished, and remembers when that was seen', () => {
    expect(read(PENDING, { pollFailures: 5 }).record).toMatchObject({
      nextMs: 30_000,
      sawPending: true,
      pollFailures: 0,
    })
  })

  it('does not take a claim of completion without a link for unfinished: the day of the video may have begun', () => {
    expect(read(WITHOUT_URL)).toMatchObject({ record: { sawPending: false, answer: null }, overdue: null })
  })

  it('backs off from an upstream without a usable answer, and honours its Retry-After', () => {
    expect(read(UNAVAILABLE).record).toMatchObject({ nextMs: 60_000, pollFailures: 1, sawPending: false })
    expect(read(UNAVAILABLE, { pollFailures: 4 }).record).toMatchObject({ nextMs: 240_000, pollFailures: 5 })
    expect(read({ ...UNAVAILABLE, retryAfterMs: 900_000 }).record.nextMs).toBe(900_000)
  })

  it.each([
    [PENDING, 'deadline_exceeded'],
    [UNAVAILABLE, 'deadline_exceeded'],
    [WITHOUT_URL, 'completed_without_url'],
  ] as const)('fails on %j at the deadline with %s, and goes on asking slowly', (answer, code) => {
    expect(read(answer, { elapsedMs: 2 * HOUR - 1 }).overdue).toBeNull()
    const late = read(answer, { elapsedMs: 2 * HOUR })
    expect(late.overdue).toBe(code)
    expect(late.record.nextMs).toBe(600_000)
  })

  it('fails only what is still processing, and stops asking after a day', () => {
    expect(read(PENDING, { status: 'failed', elapsedMs: 3 * HOUR })).toMatchObject({
      overdue: null,
      record: { nextMs: 600_000 },
    })
    expect(read(PENDING, { status: 'failed', elapsedMs: 24 * HOUR })).toMatchObject({
      overdue: null,
      record: { nextMs: null },
    })
  })

  it('never fails a generation before its deadline, whatever the upstream says short of failed', () => {
    const answer: fc.Arbitrary<PollAnswer> = fc.oneof(
      fc.record({ kind: fc.constant('pending' as const), status: fc.string(), completedWithoutUrl: fc.boolean() }),
      fc.record({
        kind: fc.constant('unavailable' as const),
        httpStatus: fc.constant(503),
        code: fc.string(),
        message: fc.string(),
        retryAfterMs: fc.option(fc.nat(), { nil: null }),
      }),
    )
    const elapsed = fc.double({ min: 0, max: 2 * HOUR, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(answer, elapsed, fc.nat(1_000), (said, elapsedMs, pollFailures) => {
        const { record, overdue } = read(said, { elapsedMs, pollFailures })
        expect(overdue).toBeNull()
        expect(record.answer).toBeNull()
        expect(record.nextMs).toBeGreaterThan(0)
      }),
    )
  })

  it('keeps a processing row due even when nobody could ask for a day: only failing it may end the asking', () => {
    const { record, overdue } = read(PENDING, { elapsedMs: 48 * HOUR })
    expect(overdue).toBe('deadline_exceeded')
    expect(record.nextMs).not.toBeNull()
  })
})
