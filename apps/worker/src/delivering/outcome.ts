// What an attempt means for the delivery and for the origin. Pure.

import { nextAttemptDelayMs } from '@reelqueue/shared/domain/retry-schedule'
import type { DeliveryDecision } from '@reelqueue/shared/store/deliveries/attempts'
import type { SendOutcome } from '@reelqueue/shared/webhooks/send-outcome'
import type { OriginHealth } from '../origins.ts'
import type { Outcome } from './send.ts'

export const HTTP_GONE = 410

/** Slower answers count as slow, answers within QUICK_MS as quick. */
const SLOW_MS = 2_000

const QUICK_MS = 250

/** The origin's behaviour in an attempt. Pure. */
export function healthOf({
  kind,
  errorClass,
  httpStatus,
  durationMs,
}: Pick<Outcome, 'kind' | 'errorClass' | 'httpStatus' | 'durationMs'>): OriginHealth {
  if (errorClass !== null && SILENT.includes(errorClass)) return 'silent'
  if (httpStatus === null) return 'unknown'
  if (durationMs > SLOW_MS) return 'slow'
  // Quick refusals do not raise the limit of parallel deliveries.
  return kind === 'delivered' && durationMs <= QUICK_MS ? 'quick' : 'answered'
}

const SILENT: readonly string[] = ['dns', 'connect', 'tls', 'timeout', 'reset', 'bad_reply']

/**
 * The outcome of an attempt. Pure; `random` is from 0 to 1.
 * @param attempt number in the retry schedule
 */
export function decisionOf(
  outcome: Pick<SendOutcome, 'kind' | 'httpStatus' | 'retryAfterMs' | 'final'> & { readonly errorClass: string | null },
  attempt: number,
  random: number,
): DeliveryDecision {
  if (outcome.kind === 'delivered') return { state: 'succeeded' }
  // With 410 a receiver asks for no more webhooks.
  if (outcome.final || outcome.httpStatus === HTTP_GONE) return { state: 'failed' }
  const retryMs = nextAttemptDelayMs({
    attempt,
    httpStatus: outcome.httpStatus,
    timedOut: outcome.errorClass === 'timeout',
    retryAfterMs: outcome.retryAfterMs,
    random,
  })
  return retryMs === null ? { state: 'failed' } : { state: 'pending', retryMs }
}
