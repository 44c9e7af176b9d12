// Judges the configuration by itself, against the stored data, and by the provider's answer.

import { type Finding, fine } from './finding.ts'

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
