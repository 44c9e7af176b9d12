// Accepts the base URL as users paste it: with or without a trailing slash or `/v1`. The provider's paths begin with
// `/v1`, so a second `/v1` would turn every paid call into a 404.

export interface BaseUrl {
  /** Scheme, host and port. */
  readonly origin: string
  /** Empty, or with a leading slash and without a trailing slash. */
  readonly path: string
}

/** Normalises a base URL. Throws an Error with the reason, without the value. */
export function parseBaseUrl(raw: string): BaseUrl {
  if (!URL.canParse(raw.trim())) throw new Error('the upstream base URL is not a URL')
  const url = new URL(raw.trim())
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new Error('the upstream base URL must begin with http:// or https://')
  }
  if (url.username !== '' || url.password !== '') {
    throw new Error('the upstream base URL must not contain a user name or password')
  }
  if (url.search !== '' || url.hash !== '') {
    throw new Error('the upstream base URL must not contain a query or fragment')
  }
  const path = url.pathname.replace(/\/+$/, '').replace(/\/v1$/, '').replace(/\/+$/, '')
  return { origin: url.origin, path }
}
