// The SQLSTATE of an error: the only part of an error that does not depend on the server's language.

import pg from 'pg'
import { Prisma } from './generated/client.ts'

/**
 * Five characters, such as 40P01; undefined when the error is not from Postgres. Prisma 7.10 keeps the SQLSTATE in the
 * cause of the adapter's error, for raw statements and for Prisma's own statements.
 */
export function sqlState(error: unknown): string | undefined {
  if (error instanceof pg.DatabaseError) return error.code
  const adapterError = error instanceof Prisma.PrismaClientKnownRequestError ? error.meta?.driverAdapterError : error
  const cause = adapterError instanceof Error ? adapterError.cause : undefined
  const isKnown = typeof cause === 'object' && cause !== null && 'originalCode' in cause
  return isKnown && typeof cause.originalCode === 'string' ? cause.originalCode : undefined
}
