// A batch of JSON Lines, beside the two ordinary ways of accepting the same lines: one Prisma `create` and one `queue.add` for each line,
// and Prisma's `createMany` in chunks. The ordinary ways check nothing, are not atomic, and record no events.

import { newId } from '@reelqueue/contract/terms/ids'
import { type AppContext, openAppContext } from '@reelqueue/shared/app-context'
import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { ensureProject } from '@reelqueue/shared/store/projects'
import { Redis } from 'ioredis'
import { startApi } from '../bin/api.ts'
import { bootstrapProject } from '../bin/bootstrap.ts'
import { HEADERS, KEY, lineOf, SECRET } from './contestants.ts'
import { median } from './requests.ts'
import type { Servers } from './servers.ts'

const CHUNK = 1_000
/** Line by line is slow: a part of the lines is enough for the rate. */
const SINGLE_SHARE = 0.1
const ROUNDS = 3

/** Lines per second, and the time of cancelling the lines. */
export interface Ingested {
  readonly lines: number
  readonly ours: number
  readonly createMany: number
  readonly single: number
  readonly cancelMs: number
}

export async function benchIngest({ databaseUrl, redisUrl }: Servers, count: number): Promise<Ingested> {
  const config = loadConfig({
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl,
    SECRET_KEY: SECRET,
    BOOTSTRAP_API_KEY: KEY,
    BOOTSTRAP_WEBHOOK_SECRET: `whsec_${SECRET}`,
    UPSTREAM_API_KEY: 'nobody-submits-here',
    UPSTREAM_MAX_IN_FLIGHT: '100',
    PORT: '0',
  })
  const context = openAppContext(config, createLogger('error'))
  await bootstrapProject(context)
  const api = await startApi(context)
  try {
    const requests = Array.from({ length: count }, (_, index) => lineOf(index))
    const body = requests.map((request) => `${JSON.stringify(request)}\n`).join('')
    const project = await ensureProject(context.database, 'default', () => '')
    const rates = { ours: [] as number[], createMany: [] as number[], single: [] as number[] }
    let batchId = ''
    for (let round = 0; round < ROUNDS; round++) {
      rates.single.push(
        await rateOf(count * SINGLE_SHARE, () =>
          oneByOne(context, project.id, requests.slice(0, count * SINGLE_SHARE)),
        ),
      )
      // The jobs left in Redis by the ordinary way are not Reelqueue's.
      await context.queues.queues.maintain.obliterate({ force: true })
      rates.createMany.push(await rateOf(count, () => inChunks(context, project.id, requests)))
      rates.ours.push(
        await rateOf(count, async () => {
          batchId = await postLines(api.url, body)
        }),
      )
    }
    const [ours, createMany, single] = [median(rates.ours), median(rates.createMany), median(rates.single)]
    console.table({
      'JSON Lines, checked and durable': row(ours, ours),
      'Prisma createMany, chunks of 1,000': row(createMany, ours),
      'Prisma create and queue.add, each': row(single, ours),
    })
    const startedAt = performance.now()
    // The cancel of a large batch continues after the reply.
    await post(api.url, `/v1/batches/${batchId}/cancel`)
    await context.changer.idle()
    const cancelMs = performance.now() - startedAt
    console.log(`Cancelling the ${count.toLocaleString('en')} of a batch: ${Math.round(cancelMs)} ms`)
    if (redisUrl !== undefined) console.log(`Keys in Redis: ${await countKeys(redisUrl)}`)
    return { lines: count, ours, createMany, single, cancelMs }
  } finally {
    await api.close()
    await context.close()
  }
}

type Line = ReturnType<typeof lineOf>

const rowOf = (projectId: string, { model, prompt, seconds, size, custom_id: customId, metadata }: Line) => ({
  id: newId('generation'),
  projectId,
  model,
  prompt,
  seconds,
  size,
  customId,
  metadata,
})

async function oneByOne({ database, queues }: AppContext, projectId: string, lines: readonly Line[]): Promise<void> {
  for (const line of lines) {
    const { id } = await database.prisma.generation.create({ data: rowOf(projectId, line) })
    await queues.queues.maintain.add('bench', { id }, { removeOnComplete: true, delay: 3_600_000 })
  }
}

async function inChunks({ database }: AppContext, projectId: string, lines: readonly Line[]): Promise<void> {
  for (let at = 0; at < lines.length; at += CHUNK) {
    await database.prisma.generation.createMany({
      data: lines.slice(at, at + CHUNK).map((line) => rowOf(projectId, line)),
    })
  }
}

async function postLines(url: string, body: string): Promise<string> {
  const response = await post(url, '/v1/batches', body)
  const { id } = (await response.json()) as { id: string }
  return id
}

async function post(url: string, path: string, body?: string): Promise<Response> {
  const headers = {
    ...HEADERS,
    ...(body !== undefined && { 'content-type': 'application/x-ndjson' }),
  }
  const response = await fetch(url + path, { method: 'POST', headers, ...(body !== undefined && { body }) })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  return response
}

/** Per second. */
async function rateOf(count: number, run: () => Promise<void>): Promise<number> {
  const startedAt = performance.now()
  await run()
  return (count * 1_000) / (performance.now() - startedAt)
}

function row(rate: number, ours: number) {
  return { 'lines/s': Math.round(rate), 'ours against it': `${(ours / rate).toFixed(1)}x` }
}

async function countKeys(url: string): Promise<number> {
  const redis = new Redis(url)
  try {
    return await redis.dbsize()
  } finally {
    redis.disconnect()
  }
}
