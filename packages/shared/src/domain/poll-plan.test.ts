import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  firstPollMs,
  latePollMs,
  nextPollMs,
  type PollContext,
  type PollLimits,
  pollLimits,
  pollTimeoutMs,
} from './poll-plan.ts'
import { explorationShare } from './render-times.ts'

const HOUR = 3_600_000
const DEADLINE = 2 * HOUR
const ADVICE = { pollAdvice: { intervalMinMs: 30_000, intervalMaxMs: 60_000 }, taskMemoryMs: 24 * 3_600_000 }
const DEFAULTS = pollLimits(undefined, undefined, DEADLINE, ADVICE)
/** Enough ids for some exploration polls. */
const IDS = Array.from({ length: 200 }, (_, n) => `gen_${n.toString(32).padStart(4, '0')}`)
const ORDINARY = IDS.find((id) => explorationShare(id) === null) ?? ''
const EXPLORATIONS = IDS.filter((id) => explorationShare(id) !== null)
const NOTHING_KNOWN: PollContext = { schedule: null, isBusy: false }

/** A schedule with the same wait at every moment. */
const always = (ms: number, isBusy = false): PollContext => ({
  schedule: { nextMs: () => ms, expected: { lagMs: 0, requests: 1 } },
  isBusy,
})

const limits = fc
  .tuple(fc.integer({ min: 10, max: 24 * HOUR }), fc.integer({ min: 10, max: 24 * HOUR }))
  .map(([one, other]) => pollLimits(Math.min(one, other), Math.max(one, other), DEADLINE, ADVICE))
const contexts = fc.oneof(
  fc.constant(NOTHING_KNOWN),
  fc.tuple(fc.integer({ min: 0, max: 24 * HOUR }), fc.boolean()).map(([ms, isBusy]) => always(ms, isBusy)),
)
const elapsed = fc.double({ min: 0, max: 24 * HOUR, noNaN: true })
const retryAfter = fc.option(fc.integer({ min: 0, max: 100 * HOUR }), { nil: null })
const at = (elapsedMs: number, context: PollContext, bounds: PollLimits = DEFAULTS) =>
  nextPollMs({ elapsedMs, failures: 0, retryAfterMs: null }, context, bounds)

describe('the time limit of a poll', () => {
  it('is that of a create, but never more than 15 s', () => {
    expect([100, 15_000, 60_000, 600_000].map(pollTimeoutMs)).toEqual([100, 15_000, 15_000, 15_000])
  })
})

describe('the limits', () => {
  it.each([
    ['nothing', undefined, undefined, [5_000, 600_000], [30_000, 60_000]],
    ['both', 100, 500, [100, 500], [100, 500]],
    ['a shortest', 500, undefined, [500, 600_000], [500, 60_000]],
    ['a long shortest', 70_000, undefined, [70_000, 600_000], [70_000, 70_000]],
    ['a short longest', undefined, 3_000, [3_000, 3_000], [3_000, 3_000]],
    ['a longest', undefined, 45_000, [5_000, 45_000], [30_000, 45_000]],
  ])('are those that are set, which a default moves out of the way of: %s', (_, min, max, known, unknown) => {
    const { known: one, unknown: other } = pollLimits(min, max, DEADLINE, ADVICE)
    expect([one.intervalMinMs, one.intervalMaxMs]).toEqual(known)
    expect([other.intervalMinMs, other.intervalMaxMs]).toEqual(unknown)
  })
})

describe('where nothing is known', () => {
  it.each([
    [0, 30_000],
    [300_000, 30_000],
    [450_000, 45_000],
    [7_000_000, 60_000],
  ])('after %i ms asks again in %i ms, as the provider asks for', (elapsedMs, expected) => {
    expect(at(elapsedMs, NOTHING_KNOWN)).toBe(expected)
  })

  it('begins with the shortest interval', () => {
    expect(firstPollMs(null, ORDINARY, DEFAULTS)).toBe(30_000)
  })
})

describe('where a schedule says when clips of the kind end', () => {
  it('asks then, first and later, closer together than the provider asks for and farther apart', () => {
    for (const ms of [5_000, 150_000, 600_000]) {
      expect(firstPollMs(always(ms).schedule, ORDINARY, DEFAULTS)).toBe(ms)
      expect(at(60_000, always(ms))).toBe(ms)
    }
  })

  it('asks about one generation in ten before its time', () => {
    expect(EXPLORATIONS.length).toBeGreaterThan(10)
    expect(EXPLORATIONS.length).toBeLessThan(30)
    for (const id of EXPLORATIONS) {
      const delay = firstPollMs(always(100_000).schedule, id, DEFAULTS)
      expect(delay).toBeGreaterThanOrEqual(40_000)
      expect(delay).toBeLessThanOrEqual(95_000)
      expect(firstPollMs(null, id, DEFAULTS)).toBe(30_000)
    }
  })

  it('keeps to what was configured', () => {
    const bounds = pollLimits(20_000, 40_000, DEADLINE, ADVICE)
    expect([firstPollMs(always(1_000).schedule, ORDINARY, bounds), at(60_000, always(1_000), bounds)]).toEqual([
      20_000, 20_000,
    ])
    expect([firstPollMs(always(HOUR).schedule, ORDINARY, bounds), at(60_000, always(HOUR), bounds)]).toEqual([
      40_000, 40_000,
    ])
  })

  it('asks no closer together than the provider asks for while requests are better spared', () => {
    expect(at(60_000, always(5_000, true))).toBe(30_000)
    expect(at(60_000, always(90_000, true))).toBe(90_000)
  })

  it('backs off after a failure as if nothing were known', () => {
    const failing = { elapsedMs: 60_000, failures: 1, retryAfterMs: null }
    expect(nextPollMs(failing, always(5_000), DEFAULTS)).toBe(60_000)
    expect(nextPollMs(failing, always(HOUR), DEFAULTS)).toBe(60_000)
  })
})

describe('whatever is known', () => {
  it('keeps within the limits while the provider answers', () => {
    fc.assert(
      fc.property(limits, elapsed, contexts, (bounds, elapsedMs, context) => {
        for (const delay of [at(elapsedMs, context, bounds), firstPollMs(context.schedule, ORDINARY, bounds)]) {
          expect(delay).toBeGreaterThanOrEqual(bounds.known.intervalMinMs)
          expect(delay).toBeLessThanOrEqual(bounds.known.intervalMaxMs)
        }
      }),
    )
  })

  it('is whole milliseconds, backs off with each failure, and ends at four times the longest interval', () => {
    fc.assert(
      fc.property(
        limits,
        elapsed,
        fc.integer({ min: 1, max: 10_000 }),
        contexts,
        (bounds, elapsedMs, failures, context) => {
          const delay = nextPollMs({ elapsedMs, failures, retryAfterMs: null }, context, bounds)
          const after = nextPollMs({ elapsedMs, failures: failures + 1, retryAfterMs: null }, context, bounds)
          expect(Number.isInteger(delay)).toBe(true)
          expect(after).toBeGreaterThanOrEqual(delay)
          expect(after).toBeLessThanOrEqual(4 * bounds.unknown.intervalMaxMs)
        },
      ),
    )
  })

  it('is never sooner than Retry-After, which counts up to an hour', () => {
    fc.assert(
      fc.property(limits, elapsed, retryAfter, contexts, (bounds, elapsedMs, retryAfterMs, context) => {
        for (const failures of [0, 1]) {
          const without = nextPollMs({ elapsedMs, failures, retryAfterMs: null }, context, bounds)
          const delay = nextPollMs({ elapsedMs, failures, retryAfterMs }, context, bounds)
          expect(delay).toBe(Math.max(without, Math.min(retryAfterMs ?? 0, HOUR)))
        }
      }),
    )
  })
})

describe('latePollMs', () => {
  it('asks every ten minutes, and stops before the provider forgets', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 48 * HOUR, noNaN: true }), retryAfter, (elapsedMs, retryAfterMs) => {
        const delay = latePollMs({ elapsedMs, failures: 0, retryAfterMs }, ADVICE)
        const wanted = Math.max(600_000, Math.min(retryAfterMs ?? 0, HOUR))
        expect(delay).toBe(elapsedMs + wanted < ADVICE.taskMemoryMs ? wanted : null)
      }),
    )
  })

  it('ends', () => {
    let elapsedMs = 2 * HOUR
    let polls = 0
    for (;;) {
      const delay = latePollMs({ elapsedMs, failures: polls, retryAfterMs: null }, ADVICE)
      if (delay === null) break
      elapsedMs += delay
      polls++
    }
    expect(polls).toBeLessThanOrEqual(132)
    expect(elapsedMs).toBeLessThan(24 * HOUR)
  })
})
