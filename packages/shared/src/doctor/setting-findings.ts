// Judges the configuration by itself, against the stored data, and by the provider's answer.

import type { Ping } from '../domain/ping.ts'
import { type Finding, fine } from './finding.ts'

const PASSWORD_CHARS_MIN = 8

export function passwordFinding(password: string | undefined): Finding {
  const check = 'operator_password'
  if (password === undefined)
    return fine(check, 'OPERATOR_PASSWORD is not set: the password that was made at the first start holds')
  if (password.length >= PASSWORD_CHARS_MIN) return fine(check, 'long enough')
  return {
    check,
    level: 'warning',
    detail: `OPERATOR_PASSWORD has fewer than ${PASSWORD_CHARS_MIN} characters`,
    fix: 'Choose a longer password (openssl rand -base64 18).',
  }
}

/** Keys made by Reelqueue have 43 characters. Nothing slows down guessing. */
const KEY_CHARS_MIN = 24

export function bootstrapKeyFinding(key: string | undefined): Finding {
  const check = 'bootstrap_api_key'
  if (key === undefined)
    return fine(check, 'BOOTSTRAP_API_KEY is not set: the key that was made at the first start holds')
  if (key.length >= KEY_CHARS_MIN) return fine(check, 'long enough')
  return {
    check,
    level: 'warning',
    detail: `BOOTSTRAP_API_KEY has fewer than ${KEY_CHARS_MIN} characters`,
    fix: 'This key is valid since the first start: make a longer key (npm run keys -- create), and revoke this key (npm run keys -- list, revoke).',
  }
}

export function trustedProxiesFinding(networks: readonly string[]): Finding {
  const check = 'trusted_proxies'
  const everything = networks.filter((network) => /\/0+$/.test(network))
  if (everything.length === 0) {
    return fine(check, networks.length === 0 ? 'no proxy is believed' : `believed: ${networks.join(', ')}`)
  }
  return {
    check,
    level: 'warning',
    detail: `TRUSTED_PROXIES has ${everything.join(' and ')}, which contain all addresses: any client may claim another address and host`,
    fix: 'Name only the addresses of your own reverse proxies, such as 127.0.0.1 or 10.1.2.0/24.',
  }
}

export function startPausedFinding(startPaused: boolean): Finding {
  const check = 'start_paused'
  if (!startPaused) return fine(check, 'a start goes on with what waits')
  return {
    check,
    level: 'warning',
    detail: 'START_PAUSED is set: each start pauses submitting, also of processes that run already',
    fix: 'Check the restored generations, unset START_PAUSED, and resume (POST /admin/submitting/resume).',
  }
}

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

/** `metadataAddresses`: the addresses of cloud metadata services that the networks open to webhooks. */
export function networksFinding(networks: readonly string[], metadataAddresses: readonly string[]): Finding {
  const check = 'webhook_networks'
  const everything = networks.filter((network) => /\/0+$/.test(network))
  const fix = 'Name only the networks that your own receivers are in, such as 10.1.2.0/24.'
  if (everything.length > 0) {
    return {
      check,
      level: 'warning',
      detail: `WEBHOOK_ALLOWED_NETWORKS has ${everything.join(' and ')}, which contain all addresses: every holder of an API key can make this machine call any address that it reaches`,
      fix,
    }
  }
  if (metadataAddresses.length > 0) {
    return {
      check,
      level: 'warning',
      detail: `WEBHOOK_ALLOWED_NETWORKS lets webhooks reach ${metadataAddresses.join(', ')}, where clouds hand out credentials`,
      fix,
    }
  }
  return fine(check, networks.length === 0 ? 'no private network is allowed' : `allowed: ${networks.join(', ')}`)
}

export interface TriedKeys {
  /** Sealed secrets that were tried. */
  readonly stored: number
  /** Tried secrets that open. */
  readonly opened: number
  /** Tried secrets that are sealed with SECRET_KEY and bound to their rows. */
  readonly present: number
}

export function secretKeyFinding(tried: TriedKeys | 'no key'): Finding {
  const check = 'secret_key'
  if (tried === 'no key') {
    return {
      check,
      level: 'wrong',
      detail: 'SECRET_KEY is not set',
      fix: 'Set SECRET_KEY to the key that encrypted the stored secrets; for a new database, to 32 random bytes (openssl rand -base64 32).',
    }
  }
  const { stored, opened, present } = tried
  if (stored === 0) return fine(check, 'no secret is stored yet')
  if (present === stored) return fine(check, 'it decrypts all stored secrets')
  if (opened === stored) {
    const detail = `all stored secrets can be decrypted; ${stored - present} of ${stored} secrets were encrypted with another key, or by an older version`
    return fine(check, `${detail}: \`npm run keys -- reseal\` encrypts these again`)
  }
  const fix = 'Set SECRET_KEY to the key that encrypted them: the key with which the project was created.'
  if (opened === 0) {
    return {
      check,
      level: 'wrong',
      detail: 'SECRET_KEY decrypts none of the stored webhook secrets: another key encrypted them',
      fix,
    }
  }
  return {
    check,
    level: 'warning',
    detail: `SECRET_KEY decrypts only ${opened} of ${stored} stored webhook secrets: webhooks of the other projects cannot be signed`,
    fix,
  }
}

/** `queuesMigrated` is also true when the queues have no tables. */
export function migrationsFinding(pending: readonly string[], queuesMigrated: boolean): Finding {
  const check = 'migrations'
  const missing = [...pending, ...(queuesMigrated ? [] : ["the queues' tables"])]
  if (missing.length === 0) return fine(check, 'none is pending')
  return {
    check,
    level: 'wrong',
    detail: `the database lacks ${missing.join(', ')}`,
    fix: 'Run `npm run migrate` first.',
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

/**
 * `suspicion`: why the database seems to be an older copy. `waiting`: the number of generations that would be
 * submitted.
 */
export function ledgerFinding(suspicion: string | null, waiting: number): Finding {
  const check = 'ledger'
  if (suspicion === null) return fine(check, 'the database is as recent as its workers left it')
  return {
    check,
    level: 'warning',
    detail: `${suspicion}; ${waiting} generations wait in it, and may have been paid for already`,
    fix: 'See docs/restoring.md. The next start of a worker pauses submitting while generations wait.',
  }
}
