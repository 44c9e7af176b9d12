// Projects and their keys, as operators manage them.

import { z } from 'zod'
import { projectChange, projectJson } from '../project.ts'

const instant = z.iso.datetime()
const projectName = z
  .string()
  .min(1)
  .max(100)
  .regex(/^[^\p{C}]+$/u, 'Use letters that can be shown.')

export const operatorProjectJson = projectJson
  .extend({ waiting: z.int(), in_flight: z.int(), keys: z.int(), endpoints: z.int() })
  .meta({ id: 'OperatorProject' })
export type OperatorProjectJson = z.output<typeof operatorProjectJson>

export const projectCreation = z
  .strictObject({ name: projectName })
  .meta({ id: 'ProjectCreation', example: { name: 'studio-4' } })

export const operatorProjectChange = projectChange
  .extend({ name: projectName.optional() })
  .meta({ id: 'OperatorProjectChange', example: { max_in_flight: 20 } })

export const keyJson = z
  .object({
    object: z.literal('api_key'),
    id: z.string(),
    project_id: z.string(),
    name: z.string(),
    hint: z.string().describe('The first characters of the key.'),
    created_at: instant,
    revoked_at: instant.nullable(),
    last_used_at: instant.nullable().describe('Written at most once a minute.'),
  })
  .meta({ id: 'ApiKey' })
export type KeyJson = z.output<typeof keyJson>

export const keyWithSecret = keyJson
  .extend({ key: z.string().describe('Shown only in this reply.') })
  .meta({ id: 'ApiKeyWithSecret' })
export const keyCreation = z
  .strictObject({ name: z.string().min(1).max(100) })
  .meta({ id: 'KeyCreation', example: { name: 'the shop' } })
