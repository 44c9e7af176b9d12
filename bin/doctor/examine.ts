// Passes the facts gathered by the adapters to the judges of domain/*-findings.ts.

import { clockDifferenceMs, clockFinding } from '@reelqueue/shared/doctor/clock-finding'
import { type Finding, fine } from '@reelqueue/shared/doctor/finding'
import {
  bootstrapKeyFinding,
  passwordFinding,
  secretKeyFinding,
  type TriedKeys,
} from '@reelqueue/shared/doctor/key-findings'
import { missingRight, type PostgresFacts, postgresFindings } from '@reelqueue/shared/doctor/postgres-findings'
import { inspectPostgres, type SealedSecret } from '@reelqueue/shared/doctor/postgres-inspection'
import { type ProxyFacts, proxyFinding, upstreamFinding } from '@reelqueue/shared/doctor/provider-findings'
import { redisFindings } from '@reelqueue/shared/doctor/redis-findings'
import { inspectRedis } from '@reelqueue/shared/doctor/redis-inspection'
import {
  ledgerFinding,
  migrationsFinding,
  networksFinding,
  startPausedFinding,
  trustedProxiesFinding,
} from '@reelqueue/shared/doctor/setting-findings'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { pendingMigrations } from '@reelqueue/shared/migrate/migrate'
import { proxyName } from '@reelqueue/shared/providers/http/proxy-choice'
import type { Upstream } from '@reelqueue/shared/providers/port'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { openQueueBackend } from '@reelqueue/shared/queues/backend'
import { areQueuesMigrated } from '@reelqueue/shared/queues/queue-schema'
import type { Config } from '@reelqueue/shared/runtime/config'
import { DatabaseError } from '@reelqueue/shared/store/connect'
import { openDatabase } from '@reelqueue/shared/store/database'
import { openMetadataAddresses } from '@reelqueue/shared/webhooks/address-guard'
import { sealerOf } from '@reelqueue/shared/webhooks/sealer'
import { examineLedger } from '../ledger.ts'
import { proxyOf } from '../provider-proxy.ts'

/** The parts run concurrently; only a migration under way makes a part wait for long. */
export interface Examination {
  readonly settings: readonly Finding[]
  readonly postgres: Promise<readonly Finding[]>
  readonly redis: Promise<readonly Finding[]>
  /** Never `wrong`: a start may go on whatever the provider answers. */
  readonly upstream: Promise<readonly Finding[]>
}

const UPSTREAM_TIMEOUT_MS = 3_000

/** Examines everything named by a configuration. `migrationWaitMs`: how long to wait for a migration under way. */
export function examine(
  config: Config,
  migrationWaitMs: number,
  onWait: (sentence: string) => void = () => undefined,
): Examination {
  const settings = [
    proxyFinding(describeProxy(config)),
    networksFinding(config.WEBHOOK_ALLOWED_NETWORKS, openMetadataAddresses(config.WEBHOOK_ALLOWED_NETWORKS)),
    passwordFinding(config.OPERATOR_PASSWORD),
    bootstrapKeyFinding(config.BOOTSTRAP_API_KEY),
    trustedProxiesFinding(config.TRUSTED_PROXIES),
    startPausedFinding(config.START_PAUSED),
  ]
  const upstream = openUpstream(config)
  return {
    settings: 'check' in upstream ? [upstream, ...settings] : settings,
    postgres: examinePostgres(config, migrationWaitMs, onWait),
    redis: examineRedis(config),
    upstream: 'check' in upstream ? Promise.resolve([]) : examineUpstream(upstream),
  }
}

function describeProxy(config: Config): ProxyFacts {
  const { proxy, setting } = proxyOf(config)
  const provider = new URL(config.UPSTREAM_BASE_URL).hostname
  return { name: proxy === null ? null : proxyName(proxy), setting, provider }
}

async function examinePostgres(
  config: Config,
  migrationWaitMs: number,
  onWait: (sentence: string) => void,
): Promise<Finding[]> {
  const { DATABASE_URL: url, REDIS_URL: redisUrl, SECRET_KEY: key } = config
  if (url === undefined) {
    return [fine('postgres', 'DATABASE_URL is not set: `npm start` embeds a Postgres, and it is not running now')]
  }
  try {
    const { facts, clockSamples, sealedSecrets } = await inspectPostgres(url)
    const connectionsNeeded =
      config.DATABASE_CONNECTIONS_MAX + (redisUrl === undefined ? config.QUEUE_CONNECTIONS_MAX : 0)
    const findings = postgresFindings(facts, connectionsNeeded)
    // A server of the wrong kind has no tables to examine.
    if (findings.some(({ level }) => level === 'wrong')) return findings
    const migrations = await examineMigrations(
      url,
      redisUrl === undefined,
      { lockTimeoutMs: migrationWaitMs, onWait },
      facts,
    )
    return [
      ...findings,
      migrations,
      ...(migrations.level === 'ok' ? [await examineCopy(config, url)] : []),
      clockFinding(clockDifferenceMs(clockSamples)),
      secretKeyFinding(key === undefined ? 'no key' : tryKeys(config, sealedSecrets)),
    ]
  } catch (error) {
    return [wrongDatabase('postgres', error)]
  }
}

/** Whether the database is an older copy of itself. */
async function examineCopy(config: Config, databaseUrl: string): Promise<Finding> {
  const ignore = () => undefined
  const database = openDatabase(databaseUrl, ignore, 2)
  const backend = openQueueBackend({ databaseUrl, redisUrl: config.REDIS_URL, onError: ignore })
  try {
    const { suspicion, row } = await examineLedger({ config, database, backend })
    return ledgerFinding(suspicion, row.waiting)
  } finally {
    await backend.close()
    await database.close()
  }
}

async function examineMigrations(
  url: string,
  queuesAreHere: boolean,
  waiting: { readonly lockTimeoutMs: number; readonly onWait: (sentence: string) => void },
  facts: PostgresFacts,
): Promise<Finding> {
  try {
    // BullMQ looks for its tables once, and never again after missing its tables.
    const [pending, queuesMigrated] = await Promise.all([
      pendingMigrations(url, waiting),
      queuesAreHere ? areQueuesMigrated(url) : true,
    ])
    const finding = migrationsFinding(pending, queuesMigrated)
    const missing = finding.level === 'ok' ? null : missingRight(facts)
    return missing === null
      ? finding
      : { ...finding, detail: `${finding.detail}, and ${missing.detail}`, fix: missing.fix }
  } catch (error) {
    return wrongDatabase('migrations', error)
  }
}

/** The message of a DatabaseError contains the fix; any other error is a bug. */
function wrongDatabase(check: 'postgres' | 'migrations', error: unknown): Finding {
  if (!(error instanceof DatabaseError)) throw error
  return { check, level: 'wrong', detail: error.message, fix: null }
}

function tryKeys(config: Config, secrets: readonly SealedSecret[]): TriedKeys {
  const sealer = sealerOf(config)
  const opened = secrets.filter(({ projectId, sealed }) => {
    try {
      sealer.open(sealed, secretPlace(projectId))
      return true
    } catch {
      return false
    }
  })
  const present = opened.filter(({ sealed }) => sealer.isPresent(sealed))
  return { stored: secrets.length, opened: opened.length, present: present.length }
}

async function examineRedis({ REDIS_URL: url }: Config): Promise<readonly Finding[]> {
  return url === undefined ? [] : redisFindings(await inspectRedis(url))
}

/** The provider, or the finding that explains its absence. */
function openUpstream(config: Config): Upstream | Finding {
  const { UPSTREAM_API_KEY: apiKey, UPSTREAM_BASE_URL: baseUrl } = config
  if (apiKey === undefined) return upstreamFinding('no key')
  try {
    const timeoutMs = Math.min(UPSTREAM_TIMEOUT_MS, config.UPSTREAM_TIMEOUT_MS)
    return CONFIGURED.open({ baseUrl, apiKey, timeoutMs, proxy: proxyOf(config).proxy })
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    return { check: 'upstream', level: 'wrong', detail, fix: 'Correct UPSTREAM_BASE_URL or UPSTREAM_API_KEY.' }
  }
}

async function examineUpstream(upstream: Upstream): Promise<readonly Finding[]> {
  const ping = await upstream.ping()
  // Not awaited: a pending connection attempt would delay the result.
  upstream.close().catch(() => undefined)
  return [upstreamFinding(ping)]
}
