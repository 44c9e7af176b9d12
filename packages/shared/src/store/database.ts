// The only pool of Postgres connections of a process, and the Prisma client on the pool.

import { PrismaPg } from '@prisma/adapter-pg'
import { openPool } from '../runtime/postgres-pool.ts'
import { TABLES_SCHEMA } from '../runtime/postgres-session.ts'
import { Prisma, PrismaClient } from './generated/client.ts'
import { preparedName } from './sql.ts'
import { sqlState } from './sql-state.ts'

export interface Database {
  readonly prisma: PrismaClient
  /** The maximum number of connections of the pool. */
  readonly connectionsMax: number
  /** Called for each row that Postgres refused to write (unstorable.ts). */
  readonly onUnstorable: (refused: RefusedRow) => void
  close(): Promise<void>
}

export interface RefusedRow {
  readonly id: string
  readonly statement: string
  /** The number of failures so far; null when the failure could not be noted. */
  readonly failures: number | null
  readonly error: unknown
}

/** The client itself, or an open transaction of the client. */
export type Sql = Pick<PrismaClient, '$queryRaw' | '$executeRaw'>

/** For tests and tools; a server process has a setting. */
const CONNECTIONS_MAX = 10
/**
 * How long Postgres keeps an idle transaction of a silent process: admission waits for its locks. Longer than Prisma's
 * limit for a transaction: beyond the limit, the process has died or has lost the connection.
 */
const IDLE_IN_TRANSACTION_MAX_MS = 40_000

/**
 * Every query is served by an index, in the order of the index. A connection plans the checks of foreign keys, like
 * prepared statements, once and keeps the plan: a plan made for an almost empty table would read the whole table for
 * every row of the first large batch. A bitmap scan collects all matching entries of an index each time, including
 * entries dead since the last vacuum: a burst of 20,000 generations read ten million dead entries. An index scan marks
 * dead entries on its way, and stops at its limit.
 */
export const PLANNING = 'SET enable_seqscan = off; SET enable_bitmapscan = off'
/** A statement that hangs must not hold a request or a step for ever. */
export const STATEMENT_MAX_MS = 60_000
/**
 * The longest wait for a row that another transaction locks, because the waiting statement occupies a connection. The
 * work is tried again.
 */
export const LOCK_WAIT_MAX_MS = 5_000
const SESSION = `SET statement_timeout = ${STATEMENT_MAX_MS}; SET lock_timeout = ${LOCK_WAIT_MAX_MS};
  SET idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MAX_MS}; ${PLANNING}`

/**
 * Opens a pool of at most `connectionsMax` connections; the first use connects. `onError` is called for broken idle
 * connections, which the pool replaces by itself.
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
      // For a silent server that does not time out by itself.
      query_timeout: 65_000,
      application_name: 'reelqueue',
    },
    onError,
  )
  const prisma = new PrismaClient({
    adapter: new PrismaPg(pool, { statementNameGenerator: ({ sql }) => preparedName(sql) }),
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

/**
 * Half of the pool's connections, and at least one: the share of one kind of work, so that other work finds a
 * connection.
 */
export function halfOf({ connectionsMax }: Database): number {
  return Math.max(1, Math.floor(connectionsMax / 2))
}

/**
 * Retries a transaction that Postgres ended because of a deadlock or a serialization conflict; at most five attempts.
 */
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

/**
 * The answer to a COMMIT did not arrive, or was an error: it is unknown whether the transaction is committed. `cause`:
 * the error.
 */
export class UncertainCommit extends Error {
  override name = 'UncertainCommit'
}

/**
 * Runs a transaction. @throws UncertainCommit when only the COMMIT failed; otherwise the error of `run` or of Postgres
 */
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

/** Whether a statement broke a unique constraint. */
export function isUniqueViolation(error: unknown): boolean {
  if (!(error instanceof Prisma.PrismaClientKnownRequestError)) return false
  return error.code === 'P2002' || sqlState(error) === '23505'
}
