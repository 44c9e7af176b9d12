// Projects and their API keys. A key is shown once, when created; only the hash is stored.

import { hash, randomBytes } from 'node:crypto'
import { newId } from '@reelqueue/contract/terms/ids'
import type { Database } from './database.ts'
import type { ApiKey, Project } from './generated/client.ts'
import { rotation } from './rotation.ts'
import { sql } from './sql.ts'

export type { ApiKey, Project }

export const DEFAULT_PROJECT = 'default'

/** SHA-256, hex: keys have enough entropy, so a slow hash would only cost time. */
export const hashOf = (key: string) => hash('sha256', key)

/** Enough characters to tell keys apart, too few to guess a key. */
const hintOf = (key: string) => key.slice(0, 7)

/** A new API key: `rq_` and 256 random bits. */
export function newApiKey(): string {
  return `rq_${randomBytes(32).toString('base64url')}`
}

/** The data that a request needs about the project of its key. */
export type CallingProject = Pick<
  Project,
  'id' | 'name' | 'onUnknownSubmission' | 'maxInFlight' | 'pausedAt' | 'createdAt'
>

/** The projects of valid keys with these hashes, in the order of `hashes`; null for an unknown or revoked key. */
export async function findProjectsByKeys(
  { prisma }: Database,
  hashes: readonly string[],
): Promise<(CallingProject | null)[]> {
  const rows = await prisma.$queryRaw<(CallingProject & { hash: string })[]>(sql.named(
    'findProjectsByKeys',
    'prepared',
  )`
    SELECT api_keys.hash, projects.id, projects.name,
      on_unknown_submission::text AS "onUnknownSubmission", max_in_flight AS "maxInFlight",
      paused_at AS "pausedAt", projects.created_at AS "createdAt"
    FROM api_keys
    JOIN projects ON projects.id = api_keys.project_id
    WHERE api_keys.hash = ANY (${[...new Set(hashes)]}::text[]) AND revoked_at IS NULL`)
  const projects = new Map(rows.map((row) => [row.hash, row]))
  return hashes.map((hash) => projects.get(hash) ?? null)
}

/**
 * Creates the project unless a project with this name exists; safe when several processes start at once. `sealedSecret`
 * seals the webhook secret for the project id.
 * @returns the id of the project, and whether this call created the project
 */
export async function ensureProject(
  { prisma }: Database,
  name: string,
  sealedSecret: (id: string) => string,
): Promise<{ readonly id: string; readonly created: boolean }> {
  const newProjectId = newId('project')
  const created = await prisma.$executeRaw(sql.named('ensureProject')`
    INSERT INTO projects (id, name, webhook_secret)
    VALUES (${newProjectId}, ${name}, ${sealedSecret(newProjectId)})
    ON CONFLICT (name) DO NOTHING`)
  const project = await prisma.project.findUniqueOrThrow({ where: { name }, select: { id: true } })
  return { id: project.id, created: created === 1 }
}

/**
 * Creates a project together with its first key: a project without a key would be of no use, and would look complete to
 * the next start.
 * @returns false when a project with this name exists; then nothing is stored
 */
export async function createProject(
  { prisma }: Database,
  name: string,
  sealedSecret: (id: string) => string,
  firstKey: { readonly name: string; readonly key: string },
): Promise<boolean> {
  const id = newId('project')
  const stored = await prisma.$executeRaw(sql.named('createProject')`
    WITH made AS (
      INSERT INTO projects (id, name, webhook_secret)
      VALUES (${id}, ${name}, ${sealedSecret(id)})
      ON CONFLICT (name) DO NOTHING
      RETURNING id
    )
    INSERT INTO api_keys (id, project_id, name, hash, hint)
    SELECT ${newId('apiKey')}, made.id, ${firstKey.name}, ${hashOf(firstKey.key)},
      ${hintOf(firstKey.key)}
    FROM made`)
  return stored === 1
}

/** The id of the project with this name, or null. */
export async function findProjectId({ prisma }: Database, name: string): Promise<string | null> {
  const project = await prisma.project.findUnique({ where: { name }, select: { id: true } })
  return project?.id ?? null
}

export interface ProjectChanges {
  readonly onUnknownSubmission?: 'fail' | 'resubmit' | undefined
  readonly maxInFlight?: number | null | undefined
}

/** Changes the given settings of the project. Defaults hold for generations accepted afterwards, limits at once. */
export async function changeProject({ prisma }: Database, id: string, changes: ProjectChanges): Promise<Project> {
  const data = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
  return await prisma.project.update({ where: { id }, data })
}

/** Pauses or resumes the admission of a project's generations. A repeated call changes nothing. */
export async function pauseProject({ prisma }: Database, id: string, paused: boolean): Promise<Project> {
  await prisma.$executeRaw(sql.named('pauseProject')`
    UPDATE projects
    SET paused_at = CASE WHEN ${paused} THEN coalesce(paused_at, now()) END
    WHERE id = ${id}`)
  return await prisma.project.findUniqueOrThrow({ where: { id } })
}

/** Gives the project a new webhook secret (rotation.ts). */
export async function rotateProjectSecret(
  { prisma }: Database,
  id: string,
  sealedSecret: string,
  overlapMs: number,
): Promise<void> {
  await prisma.$executeRaw(sql.named('rotateProjectSecret')`
    UPDATE projects
    SET ${rotation('webhook_secret', sealedSecret, overlapMs)}
    WHERE id = ${id}`)
}

/** Stores a key of the project. A key that is already stored stays unchanged. */
export async function addApiKey({ prisma }: Database, projectId: string, name: string, key: string): Promise<void> {
  await prisma.$executeRaw(sql.named('addApiKey')`
    INSERT INTO api_keys (id, project_id, name, hash, hint)
    VALUES (${newId('apiKey')}, ${projectId}, ${name}, ${hashOf(key)}, ${hintOf(key)})
    ON CONFLICT (hash) DO NOTHING`)
}

/** Every key with its project's name, oldest first. */
export async function listApiKeys({ prisma }: Database): Promise<(ApiKey & { project: { name: string } })[]> {
  return await prisma.apiKey.findMany({ include: { project: { select: { name: true } } }, orderBy: { id: 'asc' } })
}

/** Revokes a key by id. @returns false for an unknown or already revoked key */
export async function revokeApiKey({ prisma }: Database, id: string): Promise<boolean> {
  const { count } = await prisma.apiKey.updateMany({ where: { id, revokedAt: null }, data: { revokedAt: new Date() } })
  return count === 1
}
