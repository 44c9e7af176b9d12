// When a rendering generation is polled next. Pure; all times are milliseconds since the submission began.

import type { PollSchedule, ScheduleLimits } from './poll-schedule.ts'
import type { ProviderFacts } from './provider-facts.ts'
import { explorationShare } from './render-times.ts'

export interface PollLimits {
  /** For render profiles with a schedule. */
  readonly known: ScheduleLimits
  /** Without a schedule, and while so much is due that requests must be saved. */
  readonly unknown: ScheduleLimits
  /** After this long the generation fails, but is still polled. */
  readonly deadlineMs: number
  /** After this long the provider has forgotten the task. */
  readonly taskMemoryMs: number
}

/** A schedule needs fewer requests than a provider advises, although some are closer together. */
const KNOWN: ScheduleLimits = { intervalMinMs: 5_000, intervalMaxMs: 600_000 }

/** A configured limit holds for both states; the provider's advice and a default give way to a configured limit. */
export function pollLimits(
  minMs: number | undefined,
  maxMs: number | undefined,
  deadlineMs: number,
  { pollAdvice, taskMemoryMs }: Pick<ProviderFacts, 'pollAdvice' | 'taskMemoryMs'>,
): PollLimits {
  const within = ({ intervalMinMs, intervalMaxMs }: ScheduleLimits): ScheduleLimits => ({
    intervalMinMs: minMs ?? Math.min(intervalMinMs, maxMs ?? intervalMinMs),
    intervalMaxMs: maxMs ?? Math.max(intervalMaxMs, minMs ?? intervalMaxMs),
  })
  return { known: within(KNOWN), unknown: within(pollAdvice), deadlineMs, taskMemoryMs }
}

/** A poll is free and is repeated: a slow poll only keeps a place that other polls wait for. */
const POLL_TIMEOUT_MAX_MS = 15_000

/** Total time of one poll in ms, when a request to the provider may take `upstreamTimeoutMs`. */
export function pollTimeoutMs(upstreamTimeoutMs: number): number {
  return Math.min(upstreamTimeoutMs, POLL_TIMEOUT_MAX_MS)
}

/** The interval of polls after the deadline. */
const LATE_INTERVAL_MS = 10 * 60_000

/**
 * Delay in ms before the first poll. `schedule`: of the generation's render profile, null while too little is known.
 */
export function firstPollMs(schedule: PollSchedule | null, generationId: string, limits: PollLimits): number {
  if (!schedule) return limits.unknown.intervalMinMs
  return Math.round(within(schedule.nextMs(0) * (explorationShare(generationId) ?? 1), limits.known))
}

export interface PollState {
  readonly elapsedMs: number
  /** Polls in a row without a usable answer, this poll included. */
  readonly failures: number
  readonly retryAfterMs: number | null
}

export interface PollContext {
  readonly schedule: PollSchedule | null
  /** So much is due, or so few requests are left, that requests must be saved. */
  readonly isBusy: boolean
}

/**
 * Delay in ms before the next poll. After a usable answer the schedule decides. Without a schedule, or after a failure:
 * a tenth of the time already waited, within the limits, doubled for each failure in a row. Never sooner than
 * `Retry-After` (honoured up to an hour).
 */
export function nextPollMs(state: PollState, { schedule, isBusy }: PollContext, limits: PollLimits): number {
  const { known, unknown } = limits
  const retryAfterMs = Math.min(state.retryAfterMs ?? 0, 3_600_000)
  if (schedule && state.failures === 0) {
    const scheduled = within(schedule.nextMs(state.elapsedMs), known)
    return Math.max(isBusy ? Math.max(scheduled, unknown.intervalMinMs) : scheduled, retryAfterMs)
  }
  const paced = within(state.elapsedMs / 10, unknown)
  const backedOff = Math.min(paced * 2 ** Math.min(state.failures, 6), Math.max(unknown.intervalMaxMs * 4, paced))
  return Math.round(Math.max(backedOff, retryAfterMs))
}

const within = (ms: number, { intervalMinMs, intervalMaxMs }: ScheduleLimits) =>
  Math.min(Math.max(ms, intervalMinMs), intervalMaxMs)

/** Delay in ms before the next poll of a failed generation, or null when the provider will have forgotten the task. */
export function latePollMs(state: PollState, { taskMemoryMs }: Pick<PollLimits, 'taskMemoryMs'>): number | null {
  const delay = Math.max(LATE_INTERVAL_MS, Math.min(state.retryAfterMs ?? 0, 3_600_000))
  return state.elapsedMs + delay < taskMemoryMs ? delay : null
}

/**
 * An adopted task that the provider does not know any more fails its generation after this long, because no submission
 * proves the task.
 */
export const ADOPTED_UNKNOWN_MAX_MS = 5 * 60_000
