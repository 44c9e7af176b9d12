// Interprets an exchange without a reply. The deciding fact is whether writing the request had begun: an error before
// is certainly not a payment, an error after may be a payment, whatever the error code. (ECONNRESET happens before and
// after, so a list of codes could not decide.)

import type { PollAnswer, SubmitOutcome } from '../port.ts'
import type { NoAnswer } from './reply.ts'

/** The outcome of a submission without a reply: rejected when nothing was sent, otherwise unknown. */
export function readUnansweredCreate(noAnswer: NoAnswer): SubmitOutcome {
  const { code, message } = describe(noAnswer)
  if (noAnswer.sent) return { kind: 'unknown', code, message, httpStatus: null }
  return {
    kind: 'rejected',
    class: 'unreachable',
    code,
    message,
    httpStatus: null,
    retryable: true,
    retryAfterMs: null,
  }
}

/** A poll without a reply says nothing about the task. */
export function readUnansweredPoll(noAnswer: NoAnswer): PollAnswer {
  return { kind: 'unavailable', httpStatus: null, ...describe(noAnswer), retryAfterMs: null }
}

function describe(noAnswer: NoAnswer): { code: string; message: string } {
  if (!noAnswer.sent) {
    return {
      code: 'upstream_unreachable',
      message: `The provider could not be reached${throughProxy(noAnswer.cause)} (${noAnswer.cause}); nothing was sent.`,
    }
  }
  if (noAnswer.timedOut) {
    return { code: 'upstream_timeout', message: 'The provider did not answer in time after the request was sent.' }
  }
  return {
    code: 'upstream_connection_lost',
    message: `The connection was lost after the request was sent (${noAnswer.cause}).`,
  }
}

/** Set when the proxy failed (tunnel.ts). */
const throughProxy = (cause: string) => (cause.startsWith('PROXY_') ? ' through the proxy' : '')

/** The short code of a network error; `UNKNOWN` without a code. */
export function networkCause(error: unknown): string {
  if (!(error instanceof Error)) return 'UNKNOWN'
  if ('code' in error && typeof error.code === 'string' && /^\w{1,64}$/.test(error.code)) return error.code
  return error.cause === undefined ? 'UNKNOWN' : networkCause(error.cause)
}
