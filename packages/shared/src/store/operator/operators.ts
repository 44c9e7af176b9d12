// Operators who log in with a name and a password of their own. An operator is never deleted: the audit names operators.

import { newId } from '@reelqueue/contract/terms/ids'
import type { Role } from '@reelqueue/contract/terms/roles'
import type { Database, Sql } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'

export interface Operator {
  readonly id: string
  readonly name: string
  readonly role: Role
  /** The project of a member; null for other roles. */
  readonly projectId: string | null
  readonly disabledAt: Date | null
  readonly createdAt: Date
}

const COLUMNS = Prisma.sql`
  id, name, role, project_id AS "projectId", disabled_at AS "disabledAt", created_at AS "createdAt"`

export interface NewOperator {
  readonly name: string
  readonly role: Role
  readonly projectId: string | null
  readonly passwordHash: string
}

/** What a member needs, and only a member may have. */
export type ProjectFault = 'needs_project' | 'has_no_project' | 'unknown_project'

export type CreateOperatorResult =
  | { readonly kind: 'created'; readonly operator: Operator }
  | { readonly kind: 'taken' | ProjectFault }

export async function createOperator({ prisma }: Database, row: NewOperator): Promise<CreateOperatorResult> {
  const { name, role, projectId, passwordHash } = row
  return await prisma.$transaction(async (tx) => {
    const fault = await projectFault(tx, role, projectId)
    if (fault !== null) return { kind: fault }
    const [operator] = await tx.$queryRaw<Operator[]>(sql.named('createOperator')`
      INSERT INTO operators (id, name, role, project_id, password_hash)
      VALUES (${newId('operator')}, ${name}, ${role}, ${projectId}, ${passwordHash})
      ON CONFLICT (lower(name)) DO NOTHING
      RETURNING ${COLUMNS}`)
    return operator === undefined ? { kind: 'taken' } : { kind: 'created', operator }
  })
}

async function projectFault(tx: Sql, role: Role, projectId: string | null): Promise<ProjectFault | null> {
  if (role !== 'member') return projectId === null ? null : 'has_no_project'
  if (projectId === null) return 'needs_project'
  const found = await tx.$queryRaw<{ id: string }[]>(sql.named('findProjectOfMember')`
    SELECT id
    FROM projects
    WHERE id = ${projectId}`)
  return found.length === 0 ? 'unknown_project' : null
}

/** Up to `limit` operators older than `before`, newest first. */
export async function listOperators({ prisma }: Database, limit: number, before?: string): Promise<Operator[]> {
  return await prisma.$queryRaw<Operator[]>(sql.named('listOperators')`
    SELECT ${COLUMNS}
    FROM operators ${before === undefined ? Prisma.empty : Prisma.sql`WHERE id < ${before}`}
    ORDER BY id DESC
    LIMIT ${limit}`)
}

/** An operator with the hash of the password. */
export interface StoredOperator extends Operator {
  readonly passwordHash: string
}

/** The operator of this name, whatever the case of its letters; null when the name is no operator's. */
export async function findOperator({ prisma }: Database, name: string): Promise<StoredOperator | null> {
  const [operator] = await prisma.$queryRaw<StoredOperator[]>(sql.named('findOperator')`
    SELECT ${COLUMNS}, password_hash AS "passwordHash"
    FROM operators
    WHERE lower(name) = lower(${name})`)
  return operator ?? null
}

export interface OperatorChanges {
  readonly role?: Role | undefined
  readonly projectId?: string | undefined
  readonly disabled?: boolean | undefined
  readonly passwordHash?: string | undefined
}

export type ChangeOperatorResult =
  | { readonly kind: 'changed'; readonly before: Operator; readonly operator: Operator; readonly sessionsEnded: number }
  | { readonly kind: 'unknown' | ProjectFault }

/** Changes the given fields, and ends every session of the operator. */
export async function changeOperator(
  { prisma }: Database,
  id: string,
  { role, projectId, disabled, passwordHash }: OperatorChanges,
): Promise<ChangeOperatorResult> {
  return await prisma.$transaction(async (tx) => {
    // A login locks the row too: a session begins before this change, and is ended by it, or not at all.
    const [before] = await tx.$queryRaw<StoredOperator[]>(sql.named('lockOperator')`
      SELECT ${COLUMNS}, password_hash AS "passwordHash"
      FROM operators
      WHERE id = ${id}
      FOR NO KEY UPDATE`)
    if (before === undefined) return { kind: 'unknown' }
    const nextRole = role ?? before.role
    // A member that gets another role loses its project.
    const nextProject = projectId ?? (nextRole === 'member' ? before.projectId : null)
    const fault = await projectFault(tx, nextRole, nextProject)
    if (fault !== null) return { kind: fault }
    const isDisabled = disabled ?? before.disabledAt !== null
    const [operator] = await tx.$queryRaw<Operator[]>(sql.named('changeOperator')`
      UPDATE operators
      SET role = ${nextRole}, project_id = ${nextProject},
        disabled_at = CASE WHEN ${isDisabled} THEN coalesce(disabled_at, now()) END,
        password_hash = ${passwordHash ?? before.passwordHash}
      WHERE id = ${id}
      RETURNING ${COLUMNS}`)
    if (operator === undefined) throw new Error(`the locked operator ${id} is gone`)
    const sessionsEnded = await tx.$executeRaw(sql.named('endSessionsOfOperator')`
      DELETE FROM sessions
      WHERE name = ${before.name} AND operator_id = ${id}`)
    return { kind: 'changed', before, operator, sessionsEnded }
  })
}
