import { STATUSES } from '@reelqueue/contract/terms/status'
import { WHY_CODES } from '@reelqueue/contract/terms/why'
import { WHY_MEANINGS } from '@reelqueue/contract/terms/why-words'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type WhyContext, type WhyRow, why } from './why.ts'

const NOW = new Date('2026-12-01T12:00:00Z')
const ago = (ms: number) => new Date(NOW.getTime() - ms)
const ahead = (ms: number) => new Date(NOW.getTime() + ms)

const ROW: WhyRow = {
  status: 'queued',
  createdAt: ago(60_000),
  admittedAt: null,
  submittedAt: null,
  finishedAt: null,
  cancelRequestedAt: null,
  dueAt: null,
  hasAnswer: false,
  pollFailures: 0,
  lastPollClass: null,
  errorCode: null,
}
const OPEN = { pausedAt: null, refusalClass: null, refusalRetryAt: null, unreachableSince: null, holdUntil: null }
const CONTEXT: WhyContext = {
  now: NOW,
  gate: OPEN,
  hasUpstreamKey: true,
  projectPausedAt: null,
  isProjectFull: false,
  isModelFull: false,
  isFull: false,
  typicalMs: 60_000,
  slowMs: 120_000,
  unstorableSince: null,
  submission: null,
}
const STARTED = { state: 'started' as const, startedAt: ago(1_000), leaseUntil: ahead(1_000), retryAt: null }
const RENDERS = { status: 'processing' as const, admittedAt: ago(90_000), submittedAt: ago(80_000) }
const FAILED = { status: 'failed' as const, finishedAt: ago(1_000) }

describe('the reason of a generation', () => {
  it.each<[(typeof WHY_CODES)[number], Partial<WhyRow>, Partial<WhyContext>]>([
    ['waiting_turn', {}, {}],
    ['no_upstream_key', {}, { hasUpstreamKey: false }],
    ['paused_by_operator', {}, { gate: { ...OPEN, pausedAt: ago(1) } }],
    ['account_refused', {}, { gate: { ...OPEN, refusalClass: 'account', refusalRetryAt: ahead(1) } }],
    ['requests_refused', {}, { gate: { ...OPEN, refusalClass: 'request', refusalRetryAt: ago(1) } }],
    ['provider_unreachable', {}, { gate: { ...OPEN, unreachableSince: ago(1) } }],
    ['asked_to_wait', {}, { gate: { ...OPEN, holdUntil: ahead(1) } }],
    ['waiting_turn', {}, { gate: { ...OPEN, holdUntil: ago(1) } }],
    ['project_paused', {}, { projectPausedAt: ago(1) }],
    ['project_slots_full', {}, { isProjectFull: true, isModelFull: true, isFull: true }],
    ['model_slots_full', {}, { isModelFull: true, isFull: true }],
    ['slots_full', {}, { isFull: true }],
    ['admitted', { admittedAt: ago(1) }, { isFull: true }],
    ['submitting', { status: 'submitting' }, { submission: STARTED, gate: { ...OPEN, pausedAt: ago(1) } }],
    ['lease_ran_out', { status: 'submitting' }, { submission: { ...STARTED, leaseUntil: ago(1) } }],
    ['backing_off', { status: 'submitting' }, { submission: { ...STARTED, state: 'rejected', retryAt: ahead(1) } }],
    ['rendering', RENDERS, { typicalMs: 90_000 }],
    ['slower_than_usual', { ...RENDERS, submittedAt: ago(121_000) }, {}],
    ['rendering', { ...RENDERS, submittedAt: ago(121_000) }, { slowMs: null }],
    ['poll_failing', { ...RENDERS, pollFailures: 3 }, {}],
    ['no_url_yet', { ...RENDERS, lastPollClass: 'without_url', pollFailures: 9 }, {}],
    ['answer_waits', { ...RENDERS, hasAnswer: true }, {}],
    ['cancel_requested', { status: 'submitting', cancelRequestedAt: ago(1) }, { submission: STARTED }],
    ['unstorable', RENDERS, { unstorableSince: ago(1) }],
    ['still_asked', { ...FAILED, dueAt: ahead(1) }, {}],
    ['ended', FAILED, {}],
    ['ended', { status: 'completed' }, { hasUpstreamKey: false }],
  ])('is %s for %o in %o', (code, row, context) => {
    expect(why({ ...ROW, ...row }, { ...CONTEXT, ...context }).code).toBe(code)
  })

  it('says when half of its kind would have ended', () => {
    expect(why({ ...ROW, ...RENDERS }, { ...CONTEXT, typicalMs: 100_000 }).until).toEqual(ahead(20_000))
    expect(why({ ...ROW, ...RENDERS }, CONTEXT).until).toBeNull()
  })

  it('is a known one, and open generations have not ended, whatever the facts', () => {
    const when = fc.option(fc.integer({ min: -100_000, max: 100_000 }).map((ms) => ahead(ms)))
    const row = fc.record({
      status: fc.constantFrom(...STATUSES),
      createdAt: fc.constant(ago(1)),
      admittedAt: when,
      submittedAt: when,
      finishedAt: when,
      cancelRequestedAt: when,
      dueAt: when,
      hasAnswer: fc.boolean(),
      pollFailures: fc.nat(9),
      lastPollClass: fc.constantFrom(null, 'without_url', 'silence'),
      errorCode: fc.constant(null),
    })
    const gate = fc.record({
      pausedAt: when,
      refusalClass: fc.constantFrom(null, 'account', 'request'),
      refusalRetryAt: when,
      unreachableSince: when,
      holdUntil: when,
    })
    const submission = fc.option(
      fc.record({
        state: fc.constantFrom('started' as const, 'accepted' as const, 'rejected' as const, 'unknown' as const),
        startedAt: fc.constant(ago(1)),
        leaseUntil: fc.integer({ min: -9, max: 9 }).map((ms) => ahead(ms)),
        retryAt: when,
      }),
    )
    const context = fc.record({
      now: fc.constant(NOW),
      gate,
      hasUpstreamKey: fc.boolean(),
      projectPausedAt: when,
      isProjectFull: fc.boolean(),
      isModelFull: fc.boolean(),
      isFull: fc.boolean(),
      typicalMs: fc.option(fc.nat(200_000)),
      slowMs: fc.option(fc.nat(200_000)),
      unstorableSince: when,
      submission,
    })
    fc.assert(
      fc.property(row, context, (drawn, facts) => {
        const { code } = why(drawn, facts)
        const isOpen = ['queued', 'submitting', 'processing'].includes(drawn.status)
        expect(WHY_CODES).toContain(code)
        expect(['ended', 'still_asked'].includes(code)).toBe(!isOpen)
      }),
      { numRuns: 2_000 },
    )
  })

  it('has words that end as a sentence, for each code', () => {
    for (const code of WHY_CODES) expect(WHY_MEANINGS[code].words).toMatch(/^[A-Z].*\.$/)
  })
})
