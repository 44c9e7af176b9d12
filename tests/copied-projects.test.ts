// An event copies the project of its subject, and a delivery copies the project of its event. No foreign key checks the
// copies; this test does.

import { newId } from '@reelqueue/contract/terms/ids'
import { disableEndpoint, testEndpoint } from '@reelqueue/shared/store/deliveries/endpoint-events'
import { createEndpoint } from '@reelqueue/shared/store/deliveries/endpoints'
import { finishBatches, insertBatch } from '@reelqueue/shared/store/intake/batches'
import { acceptGenerations } from '@reelqueue/shared/store/intake/generations'
import { moveGenerations } from '@reelqueue/shared/store/lifecycle/moves'
import { addApiKey, ensureProject, hashOf } from '@reelqueue/shared/store/projects'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { newGeneration, type Seed, seedDatabase } from './support/seed.ts'

const HOOK = 'https://example.com/hook'

let seed: Seed
beforeAll(async () => {
  seed = await seedDatabase()
})
afterAll(() => seed.close())

it('are those of the subject, whatever was written, also where two projects share a statement', async () => {
  const { database } = seed
  const other = await ensureProject(database, 'other', () => 'sealed')
  const projects = [seed.projectId, other.id]
  const requests = await Promise.all(projects.map(acceptRequestOf))
  await acceptGenerations(database, requests)
  const batches = await Promise.all(projects.map(batchOf))
  const endpoints = await Promise.all(projects.map((project) => endpointOf(project, 'one')))
  await Promise.all(projects.map((project) => endpointOf(project, 'another')))
  await moveGenerations(
    database.prisma,
    [...requests.map(({ row }) => row.id), ...batches.flatMap(({ items }) => items)],
    'cancel',
  )
  await finishBatches(
    database,
    batches.map(({ id }) => id),
  )
  for (const endpoint of endpoints) await testEndpoint(database, endpoint)
  for (const endpoint of endpoints) await disableEndpoint(database, endpoint, 'gone')

  const events = await seed.sql<{ type: string; copy: string; original: string }>(
    `SELECT type, e.project_id AS copy, coalesce(g.project_id, b.project_id, w.project_id) AS original FROM events e
     LEFT JOIN generations g ON g.id = e.generation_id LEFT JOIN batches b ON b.id = e.batch_id
     LEFT JOIN webhook_endpoints w ON w.id = e.endpoint_id`,
  )
  const deliveries = await seed.sql<{ type: string; copy: string; original: string }>(
    'SELECT type, d.project_id AS copy, e.project_id AS original FROM deliveries d JOIN events e ON e.id = d.event_id',
  )
  expect(new Set(events.map(({ type }) => type))).toEqual(
    new Set(['generation.queued', 'generation.cancelled', 'batch.completed', 'endpoint.test', 'endpoint.disabled']),
  )
  expect(new Set(deliveries.map(({ type }) => type))).toEqual(
    new Set(['generation.cancelled', 'batch.completed', 'endpoint.test', 'endpoint.disabled']),
  )
  for (const project of projects) {
    for (const rows of [events, deliveries]) expect(rows.some(({ original }) => original === project)).toBe(true)
  }
  for (const { copy, original } of [...events, ...deliveries]) expect(copy).toBe(original)
})

async function acceptRequestOf(projectId: string) {
  const key = `rq_${projectId}`
  await addApiKey(seed.database, projectId, 'key', key)
  return { row: newGeneration(projectId, { webhookUrl: HOOK }), keyHash: hashOf(key) }
}

async function batchOf(projectId: string) {
  const id = newId('batch')
  const none = { parentId: null, metadata: null, idempotencyKey: null, idempotencyHash: null }
  const rows = [newGeneration(projectId, { batchId: id })]
  await insertBatch(seed.database, { id, projectId, webhookUrl: HOOK, ...none }, [rows])
  return { id, items: rows.map((row) => row.id) }
}

async function endpointOf(projectId: string, name: string) {
  const url = `https://example.com/${name}`
  const made = await createEndpoint(seed.database, {
    id: newId('endpoint'),
    projectId,
    url,
    description: null,
    eventTypes: [],
    sealedSecret: 'sealed',
  })
  if (made.kind !== 'created') throw new Error(made.kind)
  return made.endpoint
}
