// Findings about the provider and the way to the provider. Pure.

import type { Ping } from '../domain/ping.ts'
import { type Finding, fine } from './finding.ts'

export interface ProxyFacts {
  /** Scheme, host and port of the proxy; null: no proxy leads to the provider. */
  readonly name: string | null
  /** The deciding setting. */
  readonly setting: string | null
  /** The host of the provider. */
  readonly provider: string
}

export function proxyFinding({ name, setting, provider }: ProxyFacts): Finding {
  const check = 'upstream_proxy'
  if (name === null) {
    return fine(
      check,
      setting === null ? 'no proxy is set for the provider' : `${setting} names the provider: no proxy is used`,
    )
  }
  const detail = `the provider is reached through ${name} (${setting}); webhooks, Postgres and Redis are not`
  if (!/^(localhost|127\.[\d.]+|\[::1\])$/.test(provider)) return fine(check, detail)
  return {
    check,
    level: 'warning',
    detail: `the provider at ${provider} is on this machine, but is reached through ${name} (${setting})`,
    fix: `Set NO_PROXY to ${provider}, unless you want this.`,
  }
}

/**
 * Every answer except a refusal of the key is good: a provider may answer in any way about a task that does not exist.
 */
export function upstreamFinding(ping: Ping | 'no key'): Finding {
  const check = 'upstream'
  if (ping === 'no key') {
    return {
      check,
      level: 'warning',
      detail: 'UPSTREAM_API_KEY is not set: requests are accepted and kept, and nothing is submitted',
      fix: "Set UPSTREAM_API_KEY to the provider's key.",
    }
  }
  const { kind, code, message } = ping
  if (kind === 'silent') {
    return {
      check,
      level: 'down',
      detail: message,
      fix: 'Check UPSTREAM_BASE_URL, and that this machine reaches it (see upstream_proxy for the way). Submissions that could not be sent are tried again automatically.',
    }
  }
  if (kind === 'refused') {
    return {
      check,
      level: 'warning',
      detail: `the provider refuses the key (${code}): ${message}`,
      fix: 'Check UPSTREAM_API_KEY. Until it is right, submissions fail.',
    }
  }
  return fine(check, code === null ? 'it answers' : `it answers a request about an unknown task with ${code}`)
}
