// Opens connections to permitted addresses only. INVARIANT: the addresses checked are the very ones connected to, so a
// name that changes its answer between check and connect gains nothing. Node skips the lookup for a host that is an IP
// literal already; that is why literals are checked apart.

import type { LookupAddress } from 'node:dns'
import { lookup as systemLookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import type { AddressGuard } from './address-guard.ts'

/** Resolves a name to all its addresses, in the order to try them. */
export type Lookup = (hostname: string) => Promise<readonly LookupAddress[]>

/** Node waits 250 ms for each of several addresses but the last, less than a far-off endpoint needs to answer. */
const ADDRESS_ATTEMPT_TIMEOUT_MS = 2_000

export class RefusedAddressError extends Error {
  override readonly name = 'RefusedAddressError'
}

export class LookupError extends Error {
  override readonly name = 'LookupError'
}

export interface GuardedConnectOptions {
  readonly guard: AddressGuard
  /** Bounds lookup, connect and TLS handshake together. */
  readonly timeoutMs: number
  readonly lookup?: Lookup | undefined
}

/**
 * An undici connector that fails with RefusedAddressError when the host is, or resolves to even one, forbidden address,
 * and with LookupError when it does not resolve.
 */
export function createGuardedConnector(options: GuardedConnectOptions): buildConnector.connector {
  const { guard, timeoutMs } = options
  const resolve = createCheckedLookup(options)
  const lookup: LookupFunction = (hostname, { all }, callback) => {
    resolve(hostname).then(
      ([first, ...rest]) =>
        all === true ? callback(null, [first, ...rest]) : callback(null, first.address, first.family),
      (error: Error) => callback(error, []),
    )
  }
  const connect = buildConnector({
    lookup,
    timeout: timeoutMs,
    autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_TIMEOUT_MS,
  })
  return (target, callback) => {
    const verdict = isIP(target.hostname) === 0 ? null : guard(target.hostname)
    if (verdict === null || verdict.allowed) return connect(target, callback)
    const refusal = new RefusedAddressError(`webhooks may not be sent to this address: ${verdict.range}`)
    // undici expects the answer after the connector has returned.
    setImmediate(callback, refusal, null)
  }
}

type Addresses = readonly [LookupAddress, ...LookupAddress[]]

/**
 * Lookups of one name share one run: a name whose DNS server hangs holds one thread of the system resolver's small pool,
 * not as many as there are deliveries for it.
 */
function createCheckedLookup({ guard, lookup = resolveAll }: GuardedConnectOptions) {
  const running = new Map<string, Promise<Addresses>>()
  return (hostname: string): Promise<Addresses> => {
    const shared = running.get(hostname)
    if (shared !== undefined) return shared
    const started = lookupChecked(hostname, lookup, guard).finally(() => running.delete(hostname))
    running.set(hostname, started)
    return started
  }
}

async function lookupChecked(hostname: string, lookup: Lookup, guard: AddressGuard): Promise<Addresses> {
  const [first, ...rest] = await lookup(hostname).catch((cause: unknown) => {
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : 'lookup failed'
    throw new LookupError(`${hostname} does not resolve: ${reason}`, { cause })
  })
  if (first === undefined) throw new LookupError(`${hostname} has no address`)
  for (const { address } of [first, ...rest]) {
    const verdict = guard(address)
    // The address stays unnamed: the message goes to a tenant, the name may be of the operator's inside.
    if (!verdict.allowed) {
      throw new RefusedAddressError(`${hostname} resolves to an address no webhook may be sent to: ${verdict.range}`)
    }
  }
  return [first, ...rest]
}

function resolveAll(hostname: string): Promise<LookupAddress[]> {
  return systemLookup(hostname, { all: true })
}
