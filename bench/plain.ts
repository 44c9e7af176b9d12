// A pipeline written in the ordinary way on the same libraries: a `create` and an `add` for each request, a `findUnique` and an `update`
// for each move, `fetch`, and a job scheduler that polls each generation every second. The pipeline keeps no ledger, no events and no
// delivery log, signs nothing, and may send a webhook twice. Started with `fork`; sends its URL, and exits on disconnect.

import { PrismaPg } from '@prisma/adapter-pg'
import { newId } from '@reelqueue/contract/terms/ids'
import { PrismaClient } from '@reelqueue/shared/store/generated/client'
import { Queue, Worker } from 'bullmq'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { z } from 'zod'

const {
  DATABASE_URL = '',
  REDIS_URL = '',
  UPSTREAM_BASE_URL = '',
  UPSTREAM_API_KEY = '',
  POLL_EVERY_MS = '1000',
} = process.env

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: DATABASE_URL, max: 20 }) })
const project = await prisma.project.create({ data: { id: newId('project'), name: 'plain', webhookSecret: '' } })
const connection = new Redis(REDIS_URL, { maxRetriesPerRequest: null })
const kept = { removeOnComplete: { count: 100 }, removeOnFail: { count: 1_000 } }
const [submits, polls, deliveries] = ['submit', 'poll', 'deliver'].map(
  (name) => new Queue<{ id: string }>(name, { connection, prefix: '{plain}', defaultJobOptions: kept }),
) as [Queue, Queue, Queue]

const body = z.object({
  model: z.string(),
  prompt: z.string().min(1).max(32_000),
  size: z.enum(['720x1280', '1280x720']).optional(),
  seconds: z.int().optional(),
  custom_id: z.string().max(256).optional(),
  metadata: z.record(z.string(), z.unknown()).optional(),
  webhook_url: z.url().optional(),
})

const app = Fastify()
app.post('/v1/generations', async (request, reply) => {
  const { custom_id: customId, webhook_url: webhookUrl, metadata, ...rest } = body.parse(request.body)
  const generation = await prisma.generation.create({
    data: {
      id: newId('generation'),
      projectId: project.id,
      model: rest.model,
      prompt: rest.prompt,
      size: rest.size ?? null,
      seconds: rest.seconds ?? null,
      customId: customId ?? null,
      webhookUrl: webhookUrl ?? null,
      ...(metadata && { metadata: metadata as Record<string, string> }),
    },
  })
  await submits.add('submit', { id: generation.id }, { jobId: generation.id })
  return reply.code(202).send(generation)
})
app.get('/v1/generations', async () => ({
  data: await prisma.generation.findMany({ where: { projectId: project.id }, orderBy: { id: 'desc' }, take: 50 }),
}))

/** Without a provider key, requests are only accepted. */
const isWorking = UPSTREAM_API_KEY !== ''

const work = (name: string, concurrency: number, run: (id: string) => Promise<void>) =>
  isWorking &&
  new Worker<{ id: string }>(name, async (job) => await run(job.data.id), {
    connection: connection.duplicate(),
    prefix: '{plain}',
    concurrency,
  }).on('failed', (_job, error) => console.error(error))

work('submit', 50, async (id) => {
  const { model, prompt, seconds, size } = await prisma.generation.findUniqueOrThrow({ where: { id } })
  const response = await fetch(`${UPSTREAM_BASE_URL}/v1/sora/videos`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${UPSTREAM_API_KEY}` },
    body: JSON.stringify({ model, prompt, seconds, size }),
  })
  const task = (await response.json()) as { id: string }
  await prisma.generation.update({
    where: { id },
    data: { status: 'processing', upstreamTaskId: task.id, submittedAt: new Date() },
  })
  await polls.upsertJobScheduler(id, { every: Number(POLL_EVERY_MS) }, { name: 'poll', data: { id }, opts: kept })
})

work('poll', 50, async (id) => {
  const generation = await prisma.generation.findUniqueOrThrow({ where: { id } })
  if (generation.status !== 'processing') return
  const response = await fetch(`${UPSTREAM_BASE_URL}/v1/result/${generation.upstreamTaskId}`)
  const result = (await response.json()) as { status: string; video_url?: string }
  if (result.status !== 'completed') return
  await prisma.generation.update({
    where: { id },
    data: { status: 'completed', videoUrl: result.video_url ?? null, finishedAt: new Date() },
  })
  await polls.removeJobScheduler(id)
  if (generation.webhookUrl !== null) await deliveries.add('deliver', { id }, { attempts: 5 })
})

work('deliver', 50, async (id) => {
  const generation = await prisma.generation.findUniqueOrThrow({ where: { id } })
  const response = await fetch(generation.webhookUrl ?? '', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'generation.completed', timestamp: new Date().toISOString(), data: generation }),
  })
  if (!response.ok) throw new Error(`the receiver answered ${response.status}`)
})

process.on('disconnect', () => process.exit(0))
process.send?.({ url: await app.listen({ host: '127.0.0.1', port: 0 }) })
