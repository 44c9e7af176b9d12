// The SQLSTATE of an error: the only part of it that does not depend on the language of the server.

import pg from 'pg'
import { Prisma } from './generated/client.ts'

/**
 * Five characters, such as 40P01; undefined when the error is not one of Postgres'. Prisma 7.10 keeps it in the cause of its adapter's
 * error, for raw statements and for those that it makes itself.
 */
export function sqlState(error: unknown): string | undefined {
  if (error instanceof pg.DatabaseError) return error.code
  const adapterError = error instanceof Prisma.PrismaClientKnownRequestError ? error.meta?.driverAdapterError : error
  const cause = adapterError instanceof Error ? adapterError.cause : undefined
  const isKnown = typeof cause === 'object' && cause !== null && 'originalCode' in cause
  return isKnown && typeof cause.originalCode === 'string' ? cause.originalCode : undefined
}
