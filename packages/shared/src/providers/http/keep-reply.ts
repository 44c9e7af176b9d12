// What is kept of the answer to a create: enough for an operator to find a paid task in it by hand.

import { cutToBytes, KEPT_BYTES_MAX, type KeptReply } from '../../domain/kept-reply.ts'
import type { Reply, Silence } from './reply.ts'
import { storableText } from './storable-text.ts'

/** The answer as it is kept; null when nothing came because nothing was sent. `secrets`: the key, which is never kept. */
export function keepReply(answer: Reply | Silence, secrets: readonly string[]): KeptReply | null {
  if (answer.kind === 'silence' && !answer.sent) return null
  const text = answer.kind === 'reply' ? answer.text : answer.received
  const whole = storableText(text, text.length, secrets)
  const body = cutToBytes(whole, KEPT_BYTES_MAX)
  const cut = answer.kind === 'reply' ? answer.cut : answer.cause
  const headers = answer.kind === 'reply' ? Object.entries(answer.headers) : []
  return {
    http_status: answer.kind === 'reply' ? answer.httpStatus : null,
    headers: Object.fromEntries(headers.map(([name, value]) => [name, storableText(value, value.length, secrets)])),
    body,
    truncated: body.length < whole.length || cut !== null,
    bytes: answer.kind === 'reply' ? answer.bytes : answer.received.length,
    cut,
  }
}
