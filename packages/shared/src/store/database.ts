// The one pool of Postgres connections of a process, and the Prisma client that speaks through it.

import { createHash } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import { openPool } from '../runtime/postgres-pool.ts'
import { TABLES_SCHEMA } from '../runtime/postgres-session.ts'
import { Prisma, PrismaClient } from './generated/client.ts'
import { sqlState } from './sql-state.ts'

export interface Database {
  readonly prisma: PrismaClient
  /** Connections of its pool, at the most. */
  readonly connectionsMax: number
  /** Hears of each row that Postgres refused to write (unstorable.ts). */
  readonly onUnstorable: (refused: RefusedRow) => void
  close(): Promise<void>
}

export interface RefusedRow {
  readonly id: string
  readonly statement: string
  /** How often by now; null when that could not be noted. */
  readonly failures: number | null
  readonly error: unknown
}

/** What a statement runs on: the client itself or an open transaction of it. */
export type Sql = Pick<PrismaClient, '$queryRaw' | '$executeRaw'>

/** Of tests and tools; a process has its setting. */
const CONNECTIONS_MAX = 10
/**
 * How long a transaction lives that its process says nothing of any more: admission waits for it. Longer than Prisma gives a
 * transaction: whoever holds its locks beyond that has vanished, or has lost the connection.
 */
const IDLE_IN_TRANSACTION_MAX_MS = 40_000

/**
 * Everything is served by an index, in its order. A connection plans the checks of foreign keys (as it does prepared statements) once,
 * and keeps the plan: made while a table was all but empty, it would read the whole of it for every row of the first large batch. And
 * a bitmap gathers all that an index has, each time anew, with what has left it since the last vacuum: a burst of 20,000 generations
 * read ten million dead entries. An index scan marks them dead as it meets them, and stops at its limit.
 */
export const PLANNING = 'SET enable_seqscan = off; SET enable_bitmapscan = off'
/** A statement that hangs must not hold a request or a step for ever. */
export const STATEMENT_MAX_MS = 60_000
/** A statement waits no longer for a row that another transaction holds: it keeps a connection meanwhile. What it was for is tried again. */
export const LOCK_WAIT_MAX_MS = 5_000
const SESSION = `SET statement_timeout = ${STATEMENT_MAX_MS}; SET lock_timeout = ${LOCK_WAIT_MAX_MS};
  SET idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MAX_MS}; ${PLANNING}`

/**
 * Opens a pool of at most `connectionsMax` connections; nothing connects until first used.
 * `onError` hears of idle connections that broke (the pool replaces them by itself).
 */
export function openDatabase(
  url: string,
  onError: (error: Error) => void,
  connectionsMax = CONNECTIONS_MAX,
  onUnstorable: Database['onUnstorable'] = () => undefined,
): Database {
  const pool = openPool(
    url,
    TABLES_SCHEMA,
    SESSION,
    {
      max: connectionsMax,
      // For a server that has gone silent, and times out nothing itself.
      query_timeout: 65_000,
      application_name: 'reelqueue',
    },
    onError,
  )
  const prisma = new PrismaClient({
    adapter: new PrismaPg(pool, { statementNameGenerator: nameOf }),
    errorFormat: 'minimal',
    transactionOptions: { maxWait: 10_000, timeout: 30_000 },
  })
  return {
    prisma,
    connectionsMax,
    onUnstorable,
    async close() {
      await prisma.$disconnect()
      await pool.end()
    },
  }
}

/** Half of the pool's connections, and at least one: as many as one kind of work may take, so that others find one. */
export function halfOf({ connectionsMax }: Database): number {
  return Math.max(1, Math.floor(connectionsMax / 2))
}

/**
 * Begins statements that come often and are long: Postgres parses and plans them once for each connection, and not each time. Their
 * plans must not depend on what they are given; for others a plan of their own is worth its cost.
 */
export const PREPARED = '/* prepared */'
const names = new Map<string, string>()

/** An empty name is that of a statement which is not kept. */
function nameOf({ sql }: { readonly sql: string }): string {
  if (!sql.trimStart().startsWith(PREPARED)) return ''
  // By what it says, so that it can mean but one thing.
  const name = names.get(sql) ?? `rq_${createHash('sha1').update(sql).digest('hex')}`
  names.set(sql, name)
  return name
}

/** Retries a transaction that Postgres ended to break a deadlock or a serialization conflict; at most five times. */
export async function withRetry<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run()
    } catch (error) {
      if (attempt === 5 || !isDeadlock(error)) throw error
    }
  }
}

function isDeadlock(error: unknown): boolean {
  return ['40P01', '40001'].includes(sqlState(error) ?? '')
}

/** The answer to a COMMIT did not come, or was an error: nobody knows whether the transaction holds. `cause` is what came instead. */
export class UncertainCommit extends Error {
  override name = 'UncertainCommit'
}

/** Runs a transaction. @throws UncertainCommit when only its COMMIT failed, whatever `run` throws, and what Postgres said otherwise */
export async function transact<T>({ prisma }: Database, run: (tx: Sql) => Promise<T>): Promise<T> {
  let isRun = false
  try {
    return await prisma.$transaction(async (tx) => {
      const result = await run(tx)
      isRun = true
      return result
    })
  } catch (cause) {
    if (!isRun || isDeadlock(cause)) throw cause
    throw new UncertainCommit('the answer to a COMMIT was lost', { cause })
  }
}

/** Whether a raw statement broke a unique constraint. */
export function isUniqueViolation(error: unknown): boolean {
  if (!(error instanceof Prisma.PrismaClientKnownRequestError)) return false
  return error.code === 'P2002' || sqlState(error) === '23505'
}
