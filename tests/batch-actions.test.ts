// Actions on a whole batch: cancel, retry, priority, results.

import { batchJson, resultJson } from '@reelqueue/contract/wire/batch'
import { failOverdue } from '@reelqueue/shared/store/lifecycle/polling'
import { describe, expect, it } from 'vitest'
import { clientOfNewProject, MINIMAL, problemOf, type Reply, startApi } from './support/api.ts'
import { openClient } from './support/database.ts'
import { endGeneration, openSubmission, startGeneration } from './support/endings.ts'
import { until } from './support/wait.ts'

const { database, app, client } = await startApi()

function batchOf(reply: Reply) {
  expect([200, 202], reply.text).toContain(reply.status)
  return batchJson.strict().parse(JSON.parse(reply.text))
}
async function accept(count: number, fields: Record<string, unknown> = {}) {
  const items = Array.from({ length: count }, (_, index) => ({ ...MINIMAL, custom_id: `item-${index}` }))
  return batchOf(await client.post('/v1/batches', { items, ...fields }))
}
async function resultsOf(batchId: string, query = '') {
  const reply = await client.get(`/v1/batches/${batchId}/results${query}`)
  expect(reply.headers['content-type']).toBe('application/x-ndjson')
  const lines = reply.text.split('\n')
  expect(lines.pop()).toBe('')
  return lines.map((line) => resultJson.strict().parse(JSON.parse(line)))
}
const NONE = { queued: 0, submitting: 0, processing: 0, completed: 0, failed: 0, cancelled: 0 }

describe('results', () => {
  it('are one line for each generation in the order of its items, also while the batch runs', async () => {
    const { id } = await accept(3)
    const [first, second] = await resultsOf(id)
    await endGeneration(app.database, first?.id ?? '', 'completed')
    await endGeneration(app.database, second?.id ?? '', 'failed')
    expect(await resultsOf(id)).toEqual([
      {
        id: first?.id,
        custom_id: 'item-0',
        status: 'completed',
        video_url: 'https://videos.example/clip.mp4',
        video_url_expires_at: expect.any(String),
        error: null,
      },
      {
        id: second?.id,
        custom_id: 'item-1',
        status: 'failed',
        video_url: null,
        video_url_expires_at: null,
        error: { code: 'upstream_failed', message: 'the provider said no' },
      },
      expect.objectContaining({ custom_id: 'item-2', status: 'queued', error: null }),
    ])
    expect((await resultsOf(id, '?status=failed')).map((line) => line.custom_id)).toEqual(['item-1'])
  })

  it('of more than a page are all there, once each', async () => {
    const { id } = await accept(2_500)
    expect((await resultsOf(id)).map((line) => line.custom_id)).toEqual(
      Array.from({ length: 2_500 }, (_, index) => `item-${index}`),
    )
  })
})

describe('cancelling a batch', () => {
  async function underWay() {
    const { id } = await accept(5, { webhook_url: 'https://hooks.invalid/batch' })
    const [completed = '', processing = '', submitting = ''] = (await resultsOf(id)).map((line) => line.id)
    await endGeneration(app.database, completed, 'completed')
    await startGeneration(app.database, processing)
    await openSubmission(app.database, submitting)
    return { id, processing, submitting }
  }

  it('cancels what is queued at once, and lets the rest end', async () => {
    const { id } = await underWay()
    const batch = batchOf(await client.post(`/v1/batches/${id}/cancel`))
    expect(batch.counts).toEqual({ ...NONE, completed: 1, processing: 1, submitting: 1, cancelled: 2 })
    expect(batchOf(await client.post(`/v1/batches/${id}/cancel`))).toEqual(batch)
    const rows = await app.database.prisma.event.findMany({
      where: { type: 'generation.cancelled', generation: { batchId: id } },
    })
    expect(rows).toHaveLength(2)
  })

  it('cancels renders too when asked, and says what may be charged', async () => {
    const { id, processing, submitting } = await underWay()
    const batch = batchOf(await client.post(`/v1/batches/${id}/cancel`, { rendering: 'cancel' }))
    expect(batch.counts).toEqual({ ...NONE, completed: 1, submitting: 1, cancelled: 3 })
    const read = async (one: string) => JSON.parse((await client.get(`/v1/generations/${one}`)).text)
    expect(await read(processing)).toMatchObject({ status: 'cancelled', may_be_charged: true })
    // The outcome must be recorded first; then the generation ends as cancelled.
    expect(await read(submitting)).toMatchObject({ status: 'submitting', cancel_requested_at: expect.any(String) })
  })

  it('adds up at every moment that is read, from several sides', async () => {
    const { id, total } = await accept(3_000)
    const [first = ''] = (await resultsOf(id)).map((line) => line.id)
    const seen: number[] = []
    let isOver = false
    const read = async () => {
      while (!isOver) {
        const { counts } = batchOf(await client.get(`/v1/batches/${id}`))
        expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(total)
        seen.push(counts.cancelled)
      }
    }
    const readers = [read(), read(), read()]
    await until('everybody reads', () => seen.length >= 6)
    const acts = [`/v1/batches/${id}/cancel`, `/v1/generations/${first}/cancel`].map((path) => client.post(path))
    // On a busy machine the rest of the cancel continues after the reply.
    for (const { status } of await Promise.all(acts)) expect([200, 202]).toContain(status)
    await until('everybody has read the end', () => seen.slice(-6).every((count) => count === total))
    isOver = true
    await Promise.all(readers)
    expect(seen[0]).toBe(0)
    expect(seen.at(-1)).toBe(total)
  })

  it('refuses what it does not know', async () => {
    const { id } = await accept(1)
    expect(problemOf(await client.post(`/v1/batches/${id}/cancel`, { rendering: 'stop' })).errors).toMatchObject([
      { field: 'rendering', rule: 'one_of', allowed: ['finish', 'cancel'] },
    ])
  })
})

describe('retrying a batch', () => {
  async function failed(count: number) {
    const batch = await accept(count + 1, { webhook_url: 'https://hooks.example/b', metadata: { a: 1 } })
    const ids = (await resultsOf(batch.id)).map((line) => line.id)
    for (const id of ids.slice(0, count)) await endGeneration(app.database, id, 'failed')
    return { ...batch, ids }
  }

  it('makes a child batch of what failed, with new ids, in the same order', async () => {
    const parent = await failed(3)
    const reply = await client.post(`/v1/batches/${parent.id}/retry`)
    expect(reply.status).toBe(202)
    const child = batchOf(reply)
    expect(child).toMatchObject({
      parent_batch_id: parent.id,
      total: 3,
      counts: { ...NONE, queued: 3 },
      webhook_url: 'https://hooks.example/b',
      metadata: { a: 1 },
    })
    const lines = await resultsOf(child.id)
    expect(lines.map((line) => line.custom_id)).toEqual(['item-0', 'item-1', 'item-2'])
    expect(lines.map((line) => line.id)).not.toEqual(parent.ids.slice(0, 3))
    expect(batchOf(await client.get(`/v1/batches/${parent.id}`)).counts).toMatchObject({ failed: 3, queued: 1 })
  })

  it('takes each failed generation once, however many ask at the same time', async () => {
    const parent = await failed(2)
    const replies = await Promise.all(Array.from({ length: 4 }, () => client.post(`/v1/batches/${parent.id}/retry`)))
    expect(replies.map((reply) => reply.status).sort()).toEqual([202, 409, 409, 409])
    expect(problemOf(replies.find((reply) => reply.status === 409) as Reply).code).toBe('nothing_to_retry')
    expect(await app.database.prisma.batch.count({ where: { parentId: parent.id } })).toBe(1)
    await endGeneration(app.database, parent.ids[2] ?? '', 'failed')
    expect(batchOf(await client.post(`/v1/batches/${parent.id}/retry`)).total).toBe(1)
  })

  it('has nothing to retry when a process that knows no lock takes it first', async () => {
    const parent = await failed(1)
    const older = await openClient(database.url)
    await older.query('BEGIN')
    await older.query(
      `INSERT INTO generations SELECT (jsonb_populate_record(g, jsonb_build_object('id', new_id('gen'), 'retry_of', id,
        'batch_id', null, 'custom_id', null))).* FROM generations g WHERE id = $1`,
      [parent.ids[0]],
    )
    const retry = client.post(`/v1/batches/${parent.id}/retry`)
    await until('the retry waits for it', async () => {
      const { rows } = await older.query(
        'SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))',
      )
      return rows.length > 0
    })
    await older.query('COMMIT')
    await older.end()
    expect(problemOf(await retry).code).toBe('nothing_to_retry')
    await app.database.prisma.generation.deleteMany({ where: { retryOf: parent.ids[0] ?? '' } })
  })

  it('leaves what may succeed yet: it is paid for, and still asked about', async () => {
    const parent = await failed(1)
    const late = parent.ids[1] ?? ''
    await startGeneration(app.database, late)
    const { upstreamTaskId, dispatchCount } = await app.database.prisma.generation.findUniqueOrThrow({
      where: { id: late },
    })
    await failOverdue(
      app.database,
      [{ id: late, upstreamTaskId: upstreamTaskId ?? '', dispatchCount }],
      'deadline_exceeded',
      60_000,
    )
    const child = batchOf(await client.post(`/v1/batches/${parent.id}/retry`))
    expect(child.total).toBe(1)
    expect((await resultsOf(child.id)).map((line) => line.custom_id)).toEqual(['item-0'])
  })

  it('repeats its answer under the same Idempotency-Key', async () => {
    const parent = await failed(1)
    const key = { 'idempotency-key': 'retry' }
    const first = await client.post(`/v1/batches/${parent.id}/retry`, undefined, key)
    const again = await client.post(`/v1/batches/${parent.id}/retry`, undefined, key)
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(batchOf(again)).toEqual(batchOf(first))
    expect([first.headers.location, again.headers.location]).toEqual(Array(2).fill(`/v1/batches/${batchOf(first).id}`))
    const other = await failed(1)
    expect((await client.post(`/v1/batches/${other.id}/retry`, undefined, key)).status).toBe(409)
  })
})

it('another priority is given to what is still queued', async () => {
  const { id } = await accept(3)
  const [first = ''] = (await resultsOf(id)).map((line) => line.id)
  await app.database.prisma.generation.update({ where: { id: first }, data: { admittedAt: new Date() } })
  expect((await client.patch(`/v1/batches/${id}`, { priority: 50 })).status).toBe(200)
  const rows = await app.database.prisma.generation.findMany({ where: { batchId: id }, orderBy: { id: 'asc' } })
  expect(rows.map((row) => row.priority)).toEqual([0, 50, 50])
  expect(problemOf(await client.patch(`/v1/batches/${id}`, { priority: 101 })).errors).toMatchObject([
    { field: 'priority', rule: 'maximum', allowed: 100 },
  ])
})

it('a batch of another project is unknown to each of them', async () => {
  const { id } = await accept(1)
  const stranger = await clientOfNewProject(app, 'stranger')
  const replies = [
    await stranger.get(`/v1/batches/${id}/results`),
    await stranger.post(`/v1/batches/${id}/cancel`),
    await stranger.post(`/v1/batches/${id}/retry`),
    await stranger.patch(`/v1/batches/${id}`, { priority: 1 }),
  ]
  expect(replies.map((reply) => problemOf(reply).code)).toEqual(Array(4).fill('not_found'))
})
