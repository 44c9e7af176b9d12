// A login to the console: who is logged in, and what the login may do.

import { z } from 'zod'
import { ROLES } from '../../terms/roles.ts'

const instant = z.iso.datetime()

export const loginRequest = z
  .strictObject({
    name: z.string().min(1).max(100).describe('The name of an operator; any name with the built-in passwords.'),
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
