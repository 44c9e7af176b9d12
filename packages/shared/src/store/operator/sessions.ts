// Sessions of the console. Only the hash of a session's token is stored. All times are of Postgres: a session ends 12 hours
// after its last request, and 7 days after the login.

import { newId } from '@reelqueue/contract/terms/ids'
import type { Role } from '@reelqueue/contract/terms/roles'
import type { Database } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'

const IDLE_MAX = Prisma.raw(`interval '12 hours'`)
export const SESSION_SECONDS_MAX = 7 * 24 * 3_600
const TOTAL_MAX = Prisma.raw(`interval '${SESSION_SECONDS_MAX} seconds'`)
/** A session is written at most this often, however many requests it sends. */
const SEEN_EVERY = Prisma.raw(`interval '1 minute'`)
/** A login that exceeds the number ends the oldest sessions of the same owner. */
const SESSIONS_MAX = 100

/** The login that a session belongs to. */
export interface SessionOwner {
  /** Null: a password of the settings, or a link. */
  readonly operatorId: string | null
  readonly name: string
  readonly role: Role
  /** The project of a member; null for other roles. */
  readonly projectId: string | null
}

export interface Session extends SessionOwner {
  readonly id: string
  readonly createdAt: Date
  readonly seenAt: Date
  readonly expiresAt: Date
  readonly userAgent: string | null
  readonly address: string | null
}

const COLUMNS = Prisma.sql`
  sessions.id, operator_id AS "operatorId", sessions.name, sessions.role,
  sessions.project_id AS "projectId", sessions.created_at AS "createdAt", seen_at AS "seenAt",
  expires_at AS "expiresAt", user_agent AS "userAgent", address`

export interface NewSession extends SessionOwner {
  readonly tokenHash: string
  /** Of a password of the settings: the session ends when another password is set. Otherwise null. */
  readonly passwordProof: string | null
  /** Of an operator: the hash that the given password was compared with. Otherwise null. */
  readonly passwordHash: string | null
  readonly userAgent: string | null
  readonly address: string | null
}

/**
 * Begins a session, and ends the session with the token hash `replaced`.
 * @returns null when the operator was changed or disabled since the password was compared; then nothing is changed
 */
export async function createSession(
  { prisma }: Database,
  session: NewSession,
  replaced: string | null = null,
): Promise<Session | null> {
  const { operatorId, name, role, projectId, tokenHash, passwordProof, passwordHash, userAgent, address } = session
  return await prisma.$transaction(async (tx) => {
    if (operatorId !== null) {
      const same = await tx.$queryRaw<{ id: string }[]>(sql.named('lockUnchangedOperator')`
        SELECT id
        FROM operators
        WHERE id = ${operatorId}
          AND disabled_at IS NULL
          AND role = ${role}
          AND project_id IS NOT DISTINCT FROM ${projectId}
          AND password_hash = ${passwordHash}
        FOR SHARE`)
      if (same.length === 0) return null
    }
    if (replaced !== null) {
      await tx.$executeRaw(sql.named('endReplacedSession')`
        DELETE FROM sessions
        WHERE token_hash = ${replaced}`)
    }
    const [created] = await tx.$queryRaw<Session[]>(sql.named('createSession')`
      INSERT INTO sessions (
        id, token_hash, operator_id, name, role, project_id, password_proof, expires_at, user_agent,
        address
      )
      VALUES (
        ${newId('session')}, ${tokenHash}, ${operatorId}, ${name}, ${role}, ${projectId},
        ${passwordProof}, now() + ${IDLE_MAX}, ${userAgent}, ${address}
      )
      RETURNING ${COLUMNS}`)
    return created ?? null
  })
}

export interface FoundSession extends Session {
  readonly passwordProof: string | null
  /** SHA-256 of the password that was made at the first start; null without one. */
  readonly madePasswordHash: string | null
  /** Whether the last request was noted long enough ago to note another. */
  readonly isUnnoted: boolean
}

/** The live session with this token hash; null when there is none. */
export async function findSession({ prisma }: Database, tokenHash: string): Promise<FoundSession | null> {
  const [session] = await prisma.$queryRaw<FoundSession[]>(sql.named('findSession', 'prepared')`
    SELECT ${COLUMNS}, password_proof AS "passwordProof",
      (SELECT hash FROM operator_passwords WHERE id = 1) AS "madePasswordHash",
      seen_at < now() - ${SEEN_EVERY} AS "isUnnoted"
    FROM sessions
    LEFT JOIN operators ON operators.id = operator_id
    WHERE token_hash = ${tokenHash} AND expires_at > now() AND operators.disabled_at IS NULL`)
  return session ?? null
}

/** Notes that the session sent a request, which delays its end. */
export async function noteSeen({ prisma }: Database, id: string): Promise<void> {
  await prisma.$executeRaw(sql.named('noteSessionSeen')`
    UPDATE sessions
    SET seen_at = now(), expires_at = least(now() + ${IDLE_MAX}, created_at + ${TOTAL_MAX})
    WHERE id = ${id} AND seen_at < now() - ${SEEN_EVERY} AND expires_at > now()`)
}

const isOf = ({ operatorId, name, role, projectId }: SessionOwner) => Prisma.sql`
  sessions.name = ${name}
  AND operator_id IS NOT DISTINCT FROM ${operatorId}
  AND sessions.role = ${role}
  AND sessions.project_id IS NOT DISTINCT FROM ${projectId}`
const ofOwner = (owner: SessionOwner | null) => (owner === null ? Prisma.empty : Prisma.sql`AND ${isOf(owner)}`)

const olderThan = (id: string | undefined) => (id === undefined ? Prisma.empty : Prisma.sql`AND id < ${id}`)

/**
 * Up to `limit` live sessions older than `before`, newest first.
 * @param owner null: the sessions of every login
 */
export async function listSessions(
  { prisma }: Database,
  owner: SessionOwner | null,
  limit: number,
  before?: string,
): Promise<Session[]> {
  return await prisma.$queryRaw<Session[]>(sql.named('listSessions')`
    SELECT ${COLUMNS}
    FROM sessions
    WHERE expires_at > now() ${ofOwner(owner)} ${olderThan(before)}
    ORDER BY id DESC
    LIMIT ${limit}`)
}

/**
 * Ends one live session.
 * @param owner null: the session of any login
 * @returns the session that ended; null when there is none
 */
export async function endSession(
  { prisma }: Database,
  owner: SessionOwner | null,
  id: string,
): Promise<Session | null> {
  const [ended] = await prisma.$queryRaw<Session[]>(sql.named('endSession')`
    DELETE FROM sessions
    WHERE id = ${id} AND expires_at > now() ${ofOwner(owner)}
    RETURNING ${COLUMNS}`)
  return ended ?? null
}

/**
 * Ends the sessions of a login.
 * @param except the id of the session that stays; null: none stays
 * @returns their number
 */
export async function endSessionsOf({ prisma }: Database, owner: SessionOwner, except: string | null): Promise<number> {
  return await prisma.$executeRaw(sql.named('endSessionsOf')`
    DELETE FROM sessions
    WHERE ${isOf(owner)} AND id IS DISTINCT FROM ${except}`)
}

/** Deletes sessions that have expired, and the oldest sessions of the owner beyond the maximum number. */
export async function purgeSessions({ prisma }: Database, owner: SessionOwner): Promise<void> {
  await prisma.$executeRaw(sql.named('purgeSessions')`
    DELETE FROM sessions
    WHERE id = ANY (
      ARRAY(SELECT id FROM sessions WHERE expires_at < now() LIMIT 1000 FOR UPDATE SKIP LOCKED)
      || ARRAY(
        SELECT id
        FROM sessions
        WHERE ${isOf(owner)}
        ORDER BY id DESC
        OFFSET ${SESSIONS_MAX}
        LIMIT 1000
      )
    )`)
}

/** The present time of Postgres. */
export async function readServerTime({ prisma }: Database): Promise<Date> {
  const [row] = await prisma.$queryRaw<{ now: Date }[]>(sql.named('readServerTime')`
    SELECT now() AS now`)
  return row?.now ?? new Date()
}
