// Secrets and signatures of Standard Webhooks 1.0.0. The signed text contains the timestamp in whole seconds: every attempt needs a new
// signature, and the sent body must be exactly the signed body.

import { randomBytes } from 'node:crypto'
import { Webhook } from 'standardwebhooks'

const PREFIX = 'whsec_'
const SECRET_BYTES = 32
/** The specification's bounds for a secret made elsewhere. */
const SECRET_BYTES_MIN = 24
const SECRET_BYTES_MAX = 64

export interface WebhookToSign {
  /** The event's id: the same in every attempt, so that the receiver can drop duplicates. */
  readonly id: string
  readonly timestamp: Date
  readonly body: string
  /** At least one; several while a secret is being rotated. */
  readonly secrets: readonly string[]
}

/** A new signing secret: `whsec_` and the base64 of 32 random bytes. */
export function newWebhookSecret(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString('base64')
}

/** Whether `text` is `whsec_` and the canonical, padded base64 of 24 to 64 bytes. */
export function isWebhookSecret(text: string): boolean {
  if (!text.startsWith(PREFIX)) return false
  const encoded = text.slice(PREFIX.length)
  const key = Buffer.from(encoded, 'base64')
  return key.length >= SECRET_BYTES_MIN && key.length <= SECRET_BYTES_MAX && key.toString('base64') === encoded
}

/**
 * The headers `webhook-id`, `webhook-timestamp` (unix seconds) and `webhook-signature` (one `v1,…` per secret, separated by spaces). Throws
 * without a secret: an unsigned webhook must never be sent.
 */
export function signWebhook({ id, timestamp, body, secrets }: WebhookToSign): Record<string, string> {
  if (secrets.length === 0) throw new Error('a webhook cannot be signed without a secret')
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(timestamp.getTime() / 1_000)),
    'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(id, timestamp, body)).join(' '),
  }
}
