// The form of a webhook URL, before any name is resolved. The form does not tell where the URL leads:
// guarded-connect.ts judges the address when connecting, because the addresses of a name change.

import { utf8Bytes } from '../text/utf8-bytes.ts'

/** Of the stored URL: an index over the column holds no more than 2,704 bytes. */
export const WEBHOOK_URL_BYTES_MAX = 2_048

export type WebhookUrlRefusal = 'too_long' | 'malformed' | 'scheme' | 'credentials' | 'host'

export type WebhookUrlCheck =
  | { readonly ok: true; readonly url: URL }
  /** `message` never repeats the URL, because a URL may contain credentials. */
  | { readonly ok: false; readonly refusal: WebhookUrlRefusal; readonly message: string }

/** Checks a webhook URL: absolute, http or https, with a host, without credentials, at most 2,048 bytes. */
export function checkWebhookUrl(raw: string): WebhookUrlCheck {
  if (raw.length > WEBHOOK_URL_BYTES_MAX || utf8Bytes(raw) > WEBHOOK_URL_BYTES_MAX)
    return refuse('too_long', `The URL is longer than ${WEBHOOK_URL_BYTES_MAX} bytes.`)
  // The URL parser drops these characters silently, and then the stored and the requested URL differ.
  if (/[\s\p{Cc}]/u.test(raw)) return refuse('malformed', 'The URL contains white space or control characters.')
  const url = URL.parse(raw)
  if (url === null) return refuse('malformed', 'This is not an absolute URL.')
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return refuse('scheme', 'The URL must be http or https.')
  // Without the slashes the URL parser still finds a host, where other parsers find a path.
  if (!/^https?:\/\/[^/\\]/i.test(raw))
    return refuse('malformed', 'The URL must begin with http:// or https:// and a host.')
  if (url.username !== '' || url.password !== '') return refuse('credentials', 'The URL must not carry credentials.')
  if (/^\.*$/.test(url.hostname)) return refuse('host', 'The URL has no host.')
  return { ok: true, url }
}

function refuse(refusal: WebhookUrlRefusal, message: string): WebhookUrlCheck {
  return { ok: false, refusal, message }
}
