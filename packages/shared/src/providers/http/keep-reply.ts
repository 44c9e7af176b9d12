// The stored part of a create reply: enough for an operator to find a paid task by hand.

import { cutToBytes, KEPT_BYTES_MAX, type KeptReply } from '../../domain/kept-reply.ts'
import type { NoAnswer, Reply } from './reply.ts'
import { storableText } from './storable-text.ts'

/** The reply for storage; null when nothing was sent. `secrets` (the key and the prompt) are removed. */
export function keepReply(answer: Reply | NoAnswer, secrets: readonly string[]): KeptReply | null {
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
