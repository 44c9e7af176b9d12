// Reads an exchange without an answer. What decides is whether the request had begun to be written: every error
// before that is certainly not a payment, and every error after it may be one, whatever the error is called.
// (ECONNRESET, say, happens on both sides of that line, so a list of codes could not tell.)

import type { PollAnswer, SubmitOutcome } from '../port.ts'
import type { Silence } from './reply.ts'

/** What became of a submission that got no answer: rejected when nothing was sent, else unknown. */
export function readSilentCreate(silence: Silence): SubmitOutcome {
  const { code, message } = describe(silence)
  if (silence.sent) return { kind: 'unknown', code, message, httpStatus: null }
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

/** A poll that got no answer says nothing about the task. */
export function readSilentPoll(silence: Silence): PollAnswer {
  return { kind: 'unavailable', httpStatus: null, ...describe(silence), retryAfterMs: null }
}

function describe(silence: Silence): { code: string; message: string } {
  if (!silence.sent) {
    return {
      code: 'upstream_unreachable',
      message: `The provider could not be reached${throughProxy(silence.cause)} (${silence.cause}); nothing was sent.`,
    }
  }
  if (silence.timedOut) {
    return { code: 'upstream_timeout', message: 'The provider did not answer in time after the request was sent.' }
  }
  return {
    code: 'upstream_connection_lost',
    message: `The connection was lost after the request was sent (${silence.cause}).`,
  }
}

/** Where the proxy in between is the one that failed (tunnel.ts). */
const throughProxy = (cause: string) => (cause.startsWith('PROXY_') ? ' through the proxy' : '')

/** The short code of a thrown network error; `UNKNOWN` when it has none. */
export function networkCause(error: unknown): string {
  if (!(error instanceof Error)) return 'UNKNOWN'
  if ('code' in error && typeof error.code === 'string' && /^\w{1,64}$/.test(error.code)) return error.code
  return error.cause === undefined ? 'UNKNOWN' : networkCause(error.cause)
}
