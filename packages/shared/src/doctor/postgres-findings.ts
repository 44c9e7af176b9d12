// Judges the facts about Postgres: whether accepting is possible at all, and durable.

import { type Finding, fine } from './finding.ts'

/** The oldest version that the tests run on. */
export const POSTGRES_MAJOR_MIN = 14

export interface PostgresFacts {
  /** The server's own name for its version: `15.20 (Debian …)`. */
  readonly version: string
  /** `server_version_num`: 150020. */
  readonly versionNumber: number
  readonly isStandby: boolean
  /** Whether transactions are read-only by default, on a standby or not. */
  readonly isReadOnly: boolean
  /** Whether connections share server processes: a pooler in transaction mode is in between. */
  readonly sharesBackends: boolean
  /** The time zone that a session gets from the server, the database and the user: `Europe/Berlin`. */
  readonly serverTimeZone: string
  /** The time zone of the doctor's session, which is like all sessions of Reelqueue. */
  readonly sessionTimeZone: string
  /** Why a write was refused that should be possible, in words; null without a refusal. */
  readonly writeRefusal: string | null
  /** The encoding of the database: `UTF8`. */
  readonly encoding: string
  readonly database: string
  /** The user whose rights count. */
  readonly user: string
  /** Whether this user may create tables in the schema of Reelqueue's tables. */
  readonly mayCreateTables: boolean
  /** Whether this user may create the schema of the queues. */
  readonly mayCreateSchemas: boolean
  readonly fsync: string
  readonly synchronousCommit: string
  readonly fullPageWrites: string
  /** How many connections ordinary users may hold, over all processes. */
  readonly connectionsMax: number
  readonly connectionsTaken: number
}

/** The facts that need no write. */
export type ServerFacts = Omit<PostgresFacts, 'writeRefusal'>

/** Judges the server. `connectionsNeeded`: the maximum number of connections of one process. */
export function postgresFindings(facts: PostgresFacts, connectionsNeeded: number): Finding[] {
  return [
    serverFinding(facts),
    writingFinding(facts),
    durabilityFinding(facts),
    connectionsFinding(facts, connectionsNeeded),
  ]
}

/** Whether this server and database can accept anything at all. */
export function serverFinding(facts: ServerFacts): Finding {
  const { version, versionNumber, isStandby, isReadOnly, sharesBackends, encoding, sessionTimeZone } = facts
  const check = 'postgres'
  if (Math.floor(versionNumber / 10_000) < POSTGRES_MAJOR_MIN) {
    return {
      check,
      level: 'wrong',
      detail: `this is Postgres ${version}, which is too old for Reelqueue`,
      fix: `Upgrade it to ${POSTGRES_MAJOR_MIN} or newer, or name another server in DATABASE_URL.`,
    }
  }
  if (isStandby) {
    return {
      check,
      level: 'wrong',
      detail: 'this is a standby: it can only be read, so no request can be accepted',
      fix: "Name the primary in DATABASE_URL (where one name has several hosts, use the name of the primary's role).",
    }
  }
  if (isReadOnly) {
    return {
      check,
      level: 'wrong',
      detail: 'transactions are read-only (default_transaction_read_only): no request can be accepted',
      fix: 'Turn default_transaction_read_only off for this user and database.',
    }
  }
  if (sharesBackends) {
    return {
      check,
      level: 'wrong',
      detail:
        'DATABASE_URL leads to a pooler in transaction mode: the settings and listeners of a connection would be lost',
      fix: 'Set `pool_mode = session` in PgBouncer, or name Postgres itself in DATABASE_URL.',
    }
  }
  if (encoding !== 'UTF8') {
    return {
      check,
      level: 'wrong',
      detail: `the database has the encoding ${encoding}, which cannot store most prompts`,
      fix: "Make another database (CREATE DATABASE reelqueue TEMPLATE template0 ENCODING 'UTF8'), and name that database in DATABASE_URL.",
    }
  }
  if (sessionTimeZone !== 'UTC') {
    return {
      check,
      level: 'wrong',
      detail: `sessions are in the time zone ${sessionTimeZone} although Reelqueue sets UTC: every time would be wrong`,
      fix: 'Name Postgres itself in DATABASE_URL, or let the pooler pass SET TimeZone on.',
    }
  }
  return fine(check, `Postgres ${version}; the server is in the time zone ${facts.serverTimeZone}, sessions are in UTC`)
}

function writingFinding({ writeRefusal }: PostgresFacts): Finding {
  const check = 'postgres_writing'
  if (writeRefusal === null) return fine(check, 'a write is taken')
  return {
    check,
    level: 'down',
    detail: `${writeRefusal}: no request is accepted until this is over`,
    fix: 'Make room for Postgres, or see its log.',
  }
}

/**
 * The right that the user lacks to create the tables, with the statement that grants the right; null when no right is
 * missing.
 */
export function missingRight(facts: ServerFacts): { readonly detail: string; readonly fix: string } | null {
  const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`
  const grant = (right: string) =>
    `Let an administrator of the database run: GRANT CREATE ON ${right} TO ${quoted(facts.user)};`
  if (!facts.mayCreateTables)
    return { detail: `the user ${facts.user} may not create tables in the schema public`, fix: grant('SCHEMA public') }
  if (!facts.mayCreateSchemas)
    return {
      detail: `the user ${facts.user} may not create the schema that the queues need`,
      fix: grant(`DATABASE ${quoted(facts.database)}`),
    }
  return null
}

function durabilityFinding({ fsync, fullPageWrites, synchronousCommit }: PostgresFacts): Finding {
  const check = 'postgres_durability'
  // Every value except `off` waits for this server's own disk, which survives a crash of the server.
  const settings = { fsync, full_page_writes: fullPageWrites, synchronous_commit: synchronousCommit }
  const off = Object.entries(settings).flatMap(([name, value]) => (value === 'off' ? [name] : []))
  if (off.length === 0) return fine(check, 'a commit is on disk before it is answered')
  return {
    check,
    level: 'warning',
    detail: `${off.join(' and ')} ${off.length === 1 ? 'is' : 'are'} off: a crash of the server may lose accepted requests`,
    fix: `Set ${off.map((name) => `${name} = on`).join(', ')} for the server, this database and this user.`,
  }
}

function connectionsFinding({ connectionsMax, connectionsTaken }: PostgresFacts, needed: number): Finding {
  const check = 'postgres_connections'
  const free = Math.max(0, connectionsMax - connectionsTaken)
  const seen = `${connectionsTaken} of ${connectionsMax} connections are taken, and one process opens up to ${needed}`
  const held = Math.floor(connectionsMax / needed)
  const sum = `${connectionsMax} hold ${held} such process${held === 1 ? '' : 'es'}, and the ${free} that are free ${Math.floor(free / needed)} more`
  if (free >= needed) return fine(check, `${seen}: ${sum}`)
  return {
    check,
    level: 'warning',
    detail: `${seen}: under load some connections would be refused (${sum})`,
    fix: 'Raise max_connections of Postgres, lower DATABASE_CONNECTIONS_MAX and QUEUE_CONNECTIONS_MAX, or run fewer processes on it.',
  }
}
