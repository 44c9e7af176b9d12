// Facts about Postgres for the doctor: read once, over separate connections, within a bounded time.

import type pg from 'pg'
import { withTimeout } from '../runtime/clock.ts'
import { connect, DatabaseError, describe } from '../store/connect.ts'
import { SPILL } from '../store/operator/health.ts'
import { AWAY, type Away, whyUnavailable } from '../store/unavailable.ts'
import type { ClockSample } from './clock-finding.ts'
import { shareBackends } from './pooler.ts'
import type { PostgresFacts, ServerFacts } from './postgres-findings.ts'

export interface SealedSecret {
  readonly projectId: string
  readonly sealed: string
}

export interface Inspection {
  readonly facts: PostgresFacts
  readonly clockSamples: readonly ClockSample[]
  /** Sealed webhook secrets of projects; empty when there are no tables yet. */
  readonly sealedSecrets: readonly SealedSecret[]
}

const ANSWER_TIMEOUT_MS = 5_000
const CLOCK_SAMPLES = 3
const SECRETS_MAX = 100

/** Reads the facts. @throws DatabaseError with the reason */
export async function inspectPostgres(databaseUrl: string): Promise<Inspection> {
  return await withConnection(databaseUrl, async (client) => {
    const sharesBackends = await withConnection(databaseUrl, (other) => shareBackends(client, other))
    const facts = { ...(await readFacts(client)), sharesBackends, writeRefusal: await tryWrite(client) }
    const clockSamples: ClockSample[] = []
    for (let sample = 0; sample < CLOCK_SAMPLES; sample++) clockSamples.push(await readClock(client))
    return { facts, clockSamples, sealedSecrets: await readSealedSecrets(client) }
  })
}

/** Runs `ask` on a separate connection. @throws DatabaseError with the reason why there was no answer */
async function withConnection<T>(databaseUrl: string, ask: (client: pg.Client) => Promise<T>): Promise<T> {
  const { client, location } = await connect(databaseUrl, {
    connectionTimeoutMillis: ANSWER_TIMEOUT_MS,
    application_name: 'reelqueue doctor',
  })
  try {
    return await withTimeout(ask(client), ANSWER_TIMEOUT_MS, 'Postgres')
  } catch (cause) {
    if (cause instanceof DatabaseError) throw cause
    throw new DatabaseError(`Postgres at ${location} does not say how it is: ${describe(cause)}.`, { cause })
  } finally {
    // Not awaited: a hanging server would block this process.
    client.end().catch(() => undefined)
  }
}

type AskedAtOnce = Omit<ServerFacts, 'sharesBackends'>

/** One statement. Rejects with the error of Postgres. */
export async function readFacts(client: pg.Client): Promise<AskedAtOnce> {
  // pg_stat_activity hides other users' connections from an ordinary user; the counts per database include all
  // connections.
  const { rows } = await client.query<AskedAtOnce>(`
    SELECT current_setting('server_version') AS "version",
      current_setting('server_version_num')::int AS "versionNumber",
      pg_is_in_recovery() AS "isStandby",
      current_setting('transaction_read_only')::bool AS "isReadOnly",
      current_setting('fsync') AS "fsync",
      current_setting('synchronous_commit') AS "synchronousCommit",
      current_setting('full_page_writes') AS "fullPageWrites",
      current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) AS "connectionsMax",
      current_setting('server_encoding') AS "encoding",
      (SELECT reset_val FROM pg_settings WHERE name = 'TimeZone') AS "serverTimeZone",
      current_setting('TimeZone') AS "sessionTimeZone",
      coalesce(has_schema_privilege(to_regnamespace('public')::oid, 'CREATE'), false) AS "mayCreateTables",
      has_database_privilege(current_database(), 'CREATE') AS "mayCreateSchemas",
      current_user::text AS "user",
      current_database()::text AS "database",
      (SELECT coalesce(sum(numbackends), 0)::int FROM pg_stat_database) AS "connectionsTaken"`)
  const [facts] = rows
  if (facts === undefined) throw new Error('no answer')
  return facts
}

/** Causes that forbid every write. A lock is not among the causes. */
const REFUSALS: readonly Away[] = ['disk_full', 'out_of_memory', 'broken_files', 'read_only']

/**
 * Makes the writes of the readiness check, and rolls back. @returns the reason of a refusal, in words; null without a
 * refusal
 */
async function tryWrite(client: pg.Client): Promise<string | null> {
  try {
    await client.query(`BEGIN; SET LOCAL lock_timeout = '1s'; ${SPILL}`)
    const { rows } = await client.query<{ exists: boolean }>("SELECT to_regclass('ledgers') IS NOT NULL AS exists")
    if (rows[0]?.exists) await client.query('UPDATE ledgers SET probed_at = clock_timestamp() WHERE one = 1')
    return null
  } catch (error) {
    const why = whyUnavailable(error)
    return why !== null && REFUSALS.includes(why) ? AWAY[why] : null
  } finally {
    await client.query('ROLLBACK')
  }
}

async function readClock(client: pg.Client): Promise<ClockSample> {
  const askedAtMs = Date.now()
  const { rows } = await client.query<{ ms: number }>(
    'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms',
  )
  return { askedAtMs, databaseMs: rows[0]?.ms ?? askedAtMs, answeredAtMs: Date.now() }
}

async function readSealedSecrets(client: pg.Client): Promise<SealedSecret[]> {
  const { rows: tables } = await client.query<{ exists: boolean }>(
    "SELECT to_regclass('projects') IS NOT NULL AS exists",
  )
  if (!tables[0]?.exists) return []
  const { rows } = await client.query<SealedSecret>(
    `SELECT id AS "projectId", webhook_secret AS sealed FROM projects ORDER BY id LIMIT ${SECRETS_MAX}`,
  )
  return rows
}
