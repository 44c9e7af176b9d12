// A cancel is truthful: immediate while nothing is paid, requested while a submission is open, refused after the end.
import type { GenerationJson } from '@reelqueue/contract/wire/generation'
import { recordOutcome } from '@reelqueue/shared/store/lifecycle/record-outcome'
import { expect, it } from 'vitest'
import { countRows, generationOf, MINIMAL, problemOf, startApi } from './support/api.ts'
import { endGeneration, openSubmission, startGeneration } from './support/endings.ts'

const { database, app, client } = await startApi()

async function accept(fields: Record<string, unknown> = {}): Promise<GenerationJson> {
  return generationOf(await client.post('/v1/generations', { ...MINIMAL, ...fields }))
}

async function cancel(id: string): Promise<GenerationJson> {
  const reply = await client.post(`/v1/generations/${id}/cancel`)
  expect(reply.status, reply.text).toBe(200)
  return generationOf(reply)
}

async function eventsOf(generationId: string) {
  return await app.database.prisma.event.findMany({
    where: { generationId },
    include: { deliveries: true },
    orderBy: { sequence: 'asc' },
  })
}

it('takes a cancel whose client announces JSON and sends nothing', async () => {
  const { id } = await accept()
  const reply = await fetch(`${app.url}/v1/generations/${id}/cancel`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
  })
  expect(reply.status).toBe(200)
})

it('cancels a queued generation at once, with its event and one delivery to its webhook', async () => {
  const hook = 'https://hooks.example/cancelled'
  const { id } = await accept({ webhook_url: hook })
  const cancelled = await cancel(id)
  expect(cancelled).toMatchObject({
    status: 'cancelled',
    error: null,
    cancel_requested_at: null,
    may_be_charged: false,
  })
  expect(cancelled.finished_at).not.toBeNull()
  const events = await eventsOf(id)
  expect(events.map((event) => event.type)).toEqual(['generation.queued', 'generation.cancelled'])
  expect(events.map((event) => event.deliveries.map(({ url, state }) => [url, state]))).toEqual([
    [],
    [[hook, 'pending']],
  ])
})

it('creates no delivery when there is no webhook', async () => {
  const { id } = await accept()
  await cancel(id)
  expect((await eventsOf(id)).flatMap((event) => event.deliveries)).toEqual([])
})

it('answers a repeated cancel with the same object and writes nothing', async () => {
  const { id } = await accept({ webhook_url: 'https://hooks.example/once' })
  const first = await cancel(id)
  const before = await countRows(database.url)
  expect(await cancel(id)).toEqual(first)
  expect(await countRows(database.url)).toEqual(before)
})

it('makes one event of twenty cancels at once', async () => {
  const { id } = await accept()
  const all = await Promise.all(Array.from({ length: 20 }, () => cancel(id)))
  expect(new Set(all.map((generation) => generation.status))).toEqual(new Set(['cancelled']))
  expect(await eventsOf(id)).toHaveLength(2)
})

it('stays cancelled: it can be submitted no more', async () => {
  const { id } = await accept()
  await cancel(id)
  await expect(openSubmission(app.database, id)).rejects.toThrow('moved_on')
  expect(generationOf(await client.get(`/v1/generations/${id}`)).status).toBe('cancelled')
})

it('cancels a rendering generation at once, keeps its task id, and says that it may still be charged', async () => {
  const { id } = await accept()
  const taskId = await startGeneration(app.database, id)
  expect(await cancel(id)).toMatchObject({ status: 'cancelled', upstream_task_id: taskId, may_be_charged: true })
})

it('only asks for it while a submission is open; its outcome then ends in cancelled', async () => {
  const { id } = await accept()
  const submissionId = await openSubmission(app.database, id)
  const asked = await cancel(id)
  expect(asked).toMatchObject({ status: 'submitting', finished_at: null })
  expect(asked.cancel_requested_at).not.toBeNull()
  expect(await cancel(id)).toEqual(asked)
  const accepted = { kind: 'accepted', taskId: 'task_known_too_late' } as const
  await recordOutcome(app.database, submissionId, accepted, { firstPollMs: 1_000, renderMaxMs: 1_000 })
  expect(generationOf(await client.get(`/v1/generations/${id}`))).toMatchObject({
    status: 'cancelled',
    upstream_task_id: 'task_known_too_late',
  })
})

it.each(['completed', 'failed'] as const)('refuses to cancel a %s generation and leaves it as it is', async (end) => {
  const { id } = await accept()
  await endGeneration(app.database, id, end)
  const before = generationOf(await client.get(`/v1/generations/${id}`))
  const reply = await client.post(`/v1/generations/${id}/cancel`)
  expect(reply.status).toBe(409)
  expect(problemOf(reply).code).toBe('illegal_move')
  expect(generationOf(await client.get(`/v1/generations/${id}`))).toEqual(before)
})

it('does not know an id that does not exist', async () => {
  const reply = await client.post('/v1/generations/gen_01jd0000000000000000000000/cancel')
  expect(reply.status).toBe(404)
  expect(problemOf(reply).code).toBe('not_found')
})
