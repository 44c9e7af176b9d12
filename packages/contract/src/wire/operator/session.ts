// A login to the console: who is logged in, and what the login may do.

import { z } from 'zod'
import { ROLES, type Role } from '../../terms/roles.ts'

const instant = z.iso.datetime()
const iso = (at: Date | null) => at?.toISOString() ?? null

/** Without spaces at its ends, and without characters that cannot be seen: the audit shows the name. */
const visibleName = z
  .string()
  .min(1)
  .max(100)
  .refine((name) => name.trim() === name && !/\p{C}/u.test(name), {
    params: { rule: 'visible', allowed: 'a name without invisible characters, and without spaces at its ends' },
  })

export const loginRequest = z
  .strictObject({
    name: visibleName.describe('The name of an operator; any name with the built-in passwords.'),
    password: z.string().min(1).max(1_000),
  })
  .meta({ id: 'LoginRequest', example: { name: 'operator', password: 'a long password' } })

export const sessionJson = z
  .object({
    object: z.literal('session'),
    id: z.string().nullable().describe('Null: the request has a password, not a session.'),
    name: z.string(),
    role: z.enum(ROLES),
    project_id: z.string().nullable().describe('The project of a member; null for other roles.'),
    created_at: instant.nullable(),
    seen_at: instant.nullable(),
    expires_at: instant.nullable(),
    address: z.string().nullable(),
    user_agent: z.string().nullable(),
    is_current: z.boolean(),
  })
  .meta({ id: 'Session' })
export type SessionJson = z.output<typeof sessionJson>

export interface SessionRow {
  readonly id: string
  readonly name: string
  readonly role: Role
  readonly projectId: string | null
  readonly createdAt: Date
  readonly seenAt: Date
  readonly expiresAt: Date
  readonly address: string | null
  readonly userAgent: string | null
}

/** `currentId`: the session of the request, if there is one. */
export function toSessionJson(row: SessionRow, currentId: string | undefined): SessionJson {
  return {
    object: 'session',
    id: row.id,
    name: row.name,
    role: row.role,
    project_id: row.projectId,
    created_at: iso(row.createdAt),
    seen_at: iso(row.seenAt),
    expires_at: iso(row.expiresAt),
    address: row.address,
    user_agent: row.userAgent,
    is_current: row.id === currentId,
  }
}

export const sessionsEnded = z
  .object({ ended: z.int().describe('The number of sessions that this request has ended.') })
  .meta({ id: 'SessionsEnded' })

/** The first request of the console. */
export const meJson = z
  .object({
    session: sessionJson,
    server_time: instant.describe('The time of Postgres, for clocks in the console.'),
    version: z.string(),
    has_upstream_key: z.boolean(),
    docs: z.string().describe('The address of the API reference, relative to the console.'),
  })
  .meta({ id: 'Me' })
export type MeJson = z.output<typeof meJson>

export const operatorJson = z
  .object({
    object: z.literal('operator'),
    id: z.string(),
    name: z.string(),
    role: z.enum(ROLES),
    project_id: z.string().nullable(),
    disabled_at: instant.nullable(),
    created_at: instant,
  })
  .meta({ id: 'Operator' })
export type OperatorJson = z.output<typeof operatorJson>

export interface OperatorRow {
  readonly id: string
  readonly name: string
  readonly role: Role
  readonly projectId: string | null
  readonly disabledAt: Date | null
  readonly createdAt: Date
}

export function toOperatorJson(row: OperatorRow): OperatorJson {
  return {
    object: 'operator',
    id: row.id,
    name: row.name,
    role: row.role,
    project_id: row.projectId,
    disabled_at: iso(row.disabledAt),
    created_at: row.createdAt.toISOString(),
  }
}

export const operatorWithPassword = operatorJson
  .extend({
    password: z
      .string()
      .nullable()
      .describe('A password that Reelqueue has made, shown only in this reply; null when none was made.'),
  })
  .meta({ id: 'OperatorWithPassword' })

/** Names in the audit of requests without an operator of the table. */
const RESERVED_NAMES = ['operator', 'viewer', 'unknown', 'command']

export const operatorName = visibleName.refine((name) => !RESERVED_NAMES.includes(name.toLowerCase()), {
  params: { rule: 'reserved', allowed: `another name than ${RESERVED_NAMES.join(', ')}` },
})

export const PASSWORD_CHARS_MIN = 12
const newPassword = z.string().min(PASSWORD_CHARS_MIN).max(1_000)
const projectOfMember = z.string().min(1).max(100).describe('The project of a member; other roles have none.')

export const operatorCreation = z
  .strictObject({
    name: operatorName.describe('Unique, whatever the case of its letters.'),
    role: z.enum(ROLES),
    project_id: projectOfMember.nullish(),
    password: newPassword.nullish().describe('Absent or null: Reelqueue makes one, and only this reply shows it.'),
  })
  .meta({ id: 'OperatorCreation', example: { name: 'mona', role: 'viewer' } })

export const operatorChange = z
  .strictObject({
    role: z.enum(ROLES).optional(),
    project_id: projectOfMember.optional(),
    disabled: z.boolean().optional().describe('True: the operator cannot log in.'),
    password: newPassword.nullable().optional().describe('Null: Reelqueue makes one, and only this reply shows it.'),
  })
  .refine((change) => Object.keys(change).length > 0, {
    params: { rule: 'not_empty', allowed: 'an object with at least one change' },
  })
  .meta({ id: 'OperatorChange', example: { disabled: true } })
