// Opens connections to permitted addresses only. INVARIANT: the checked addresses are exactly the connected addresses, so a name that
// changes its answer between check and connect gains nothing. Node skips the lookup for a host that is already an IP literal; so literals
// are checked separately.

import type { LookupAddress } from 'node:dns'
import { isIP } from 'node:net'
import { buildConnector } from 'undici'
import type { AddressGuard } from './address-guard.ts'

/** Resolves a name to all its addresses, in the order of the connection attempts. */
export type Lookup = (hostname: string) => Promise<readonly LookupAddress[]>

/** Node waits 250 ms for each of several addresses except the last, less than a distant endpoint needs to answer. */
const ADDRESS_ATTEMPT_TIMEOUT_MS = 2_000

export class RefusedAddressError extends Error {
  override readonly name = 'RefusedAddressError'
}

/** http to a network where the operator has not allowed http. */
export class InsecureUrlError extends Error {
  override readonly name = 'InsecureUrlError'
}

export class LookupError extends Error {
  override readonly name = 'LookupError'
}

export interface GuardedConnectOptions {
  readonly guard: AddressGuard
  /** Whether http may go anywhere; when false, http may go only to networks named by the operator. */
  readonly allowHttp: boolean
  /** Bounds lookup, connect and TLS handshake together. */
  readonly timeoutMs: number
  readonly lookup: Lookup
}

/**
 * An undici connector. The connector fails with RefusedAddressError when the host is a forbidden address or resolves to at least one,
 * with InsecureUrlError for http without permission, and with LookupError when the name does not resolve.
 */
export function createGuardedConnector(options: GuardedConnectOptions): buildConnector.connector {
  const { timeoutMs, allowHttp } = options
  const overHttps = connectorFor(createCheck(options, true), options)
  const overHttp = connectorFor(createCheck(options, allowHttp), options)
  return (target, callback) => (target.protocol === 'https:' ? overHttps : overHttp)(target, callback)

  function connectorFor(check: Check, { lookup }: GuardedConnectOptions): buildConnector.connector {
    const resolve = createCheckedLookup(check, lookup)
    const connect = buildConnector({
      lookup: (hostname, { all }, callback) => {
        resolve(hostname).then(
          ([first, ...rest]) =>
            all === true ? callback(null, [first, ...rest]) : callback(null, first.address, first.family),
          (error: Error) => callback(error, []),
        )
      },
      timeout: timeoutMs,
      autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_TIMEOUT_MS,
    })
    return (target, callback) => {
      const refusal = isIP(target.hostname) === 0 ? null : check(target.hostname, 'this')
      if (refusal === null) return connect(target, callback)
      // undici expects the answer after the connector has returned.
      setImmediate(callback, refusal, null)
    }
  }
}

/** The reason against a connection to an address, or null. `whose`: the name resolved to the address, or `this` for a literal. */
type Check = (address: string, whose: string) => Error | null

function createCheck({ guard }: GuardedConnectOptions, anywhere: boolean): Check {
  return (address, whose) => {
    const decision = guard(address)
    // The address stays unnamed: the message goes to a tenant, and the name may belong to the operator's internal network.
    if (!decision.allowed)
      return new RefusedAddressError(
        whose === 'this'
          ? `webhooks may not be sent to this address: ${decision.range}; whoever runs Reelqueue may allow its network`
          : `${whose} resolves to an address no webhook may be sent to: ${decision.range}`,
      )
    return anywhere || decision.exempt
      ? null
      : new InsecureUrlError('webhooks may only be sent over https: use https in the URL')
  }
}

type Addresses = readonly [LookupAddress, ...LookupAddress[]]

/** Look-ups of the same name share a run: a name with a hanging DNS server is looked up once, not once for each delivery. */
function createCheckedLookup(check: Check, lookup: Lookup) {
  const running = new Map<string, Promise<Addresses>>()
  return (hostname: string): Promise<Addresses> => {
    const shared = running.get(hostname)
    if (shared !== undefined) return shared
    const started = lookupChecked(hostname, lookup, check).finally(() => running.delete(hostname))
    running.set(hostname, started)
    return started
  }
}

async function lookupChecked(hostname: string, lookup: Lookup, check: Check): Promise<Addresses> {
  const [first, ...rest] = await lookup(hostname).catch((cause: unknown) => {
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : 'lookup failed'
    throw new LookupError(`${hostname} does not resolve: ${reason}`, { cause })
  })
  if (first === undefined) throw new LookupError(`${hostname} has no address`)
  for (const { address } of [first, ...rest]) {
    const refusal = check(address, hostname)
    if (refusal) throw refusal
  }
  return [first, ...rest]
}
