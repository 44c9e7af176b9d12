// The audit: one row for each change by an operator, in the transaction of the change.

import { newId } from '@reelqueue/contract/terms/ids'
import { type Database, withRetry } from '../database.ts'
import { type AuditEntry, Prisma, type PrismaClient } from '../generated/client.ts'

export interface Actor {
  /** The name of the operator, or the hint of the API key. */
  readonly name: string
  readonly via: 'session' | 'password' | 'key' | 'command'
  readonly address: string | null
  readonly requestId: string | null
}

export interface Audited {
  /** The operation id of the route. */
  readonly action: string
  readonly subject: string | null
  readonly projectId: string | null
  readonly changes?: Readonly<Record<string, unknown>> | null
  readonly reason?: string | null
}

type Transaction = Omit<PrismaClient, '$connect' | '$disconnect' | '$on' | '$extends' | '$transaction'>

/**
 * Makes a change and its audit row in one transaction. `act` gets a database whose transactions join that transaction, so
 * that every function of the store may be called.
 * @param entryOf the audit row of the result; null: nothing was changed, and nothing is recorded
 * @throws the error of `act`; then neither the change nor the row is there
 */
export async function audited<T>(
  database: Database,
  actor: Actor,
  act: (database: Database) => Promise<T>,
  entryOf: (result: T) => Audited | null,
): Promise<T> {
  return await withRetry(() =>
    database.prisma.$transaction(async (tx) => {
      const result = await act({ ...database, prisma: joining(tx) })
      const entry = entryOf(result)
      if (entry) await recordAudit(tx, actor, entry)
      return result
    }),
  )
}

/** Writes one row, in the transaction `tx`. */
export async function recordAudit(tx: Pick<Transaction, 'auditEntry'>, actor: Actor, entry: Audited): Promise<void> {
  await tx.auditEntry.create({
    data: {
      id: newId('audit'),
      actor: actor.name,
      via: actor.via,
      address: actor.address,
      requestId: actor.requestId,
      action: entry.action,
      subject: entry.subject,
      projectId: entry.projectId,
      changes: entry.changes ? (entry.changes as Prisma.InputJsonObject) : Prisma.DbNull,
      reason: entry.reason ?? null,
    },
  })
}

/** A client whose transactions are the open transaction: Postgres has no transaction inside a transaction. */
function joining(tx: Transaction): PrismaClient {
  const run = async (work: (same: Transaction) => Promise<unknown>) => await work(tx)
  return new Proxy(tx, {
    get: (target, name) => (name === '$transaction' ? run : Reflect.get(target, name, target)),
  }) as PrismaClient
}

export interface AuditFilter {
  readonly actor?: string | undefined
  readonly subject?: string | undefined
  readonly projectId?: string | undefined
}

/** Up to `limit` rows older than `before`, newest first. */
export async function listAudit(
  { prisma }: Database,
  filter: AuditFilter,
  limit: number,
  before?: string,
): Promise<AuditEntry[]> {
  const { actor, subject, projectId } = filter
  return await prisma.auditEntry.findMany({
    where: {
      ...(actor !== undefined && { actor }),
      ...(subject !== undefined && { subject }),
      ...(projectId !== undefined && { projectId }),
      ...(before !== undefined && { id: { lt: before } }),
    },
    orderBy: { id: 'desc' },
    take: limit,
  })
}
