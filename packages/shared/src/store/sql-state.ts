// The SQLSTATE of an error that came through Prisma: the only part of it that does not depend on the language of the server.

import { Prisma } from './generated/client.ts'

/** Five characters, such as 40P01; undefined when the error is not one of Postgres'. Prisma 7.10 keeps it in the cause of its adapter's error. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Prisma.PrismaClientKnownRequestError)) return undefined
  const adapterError = error.meta?.driverAdapterError
  const cause = adapterError instanceof Error ? adapterError.cause : undefined
  const isKnown = typeof cause === 'object' && cause !== null && 'originalCode' in cause
  return isKnown && typeof cause.originalCode === 'string' ? cause.originalCode : undefined
}
