// Reading: a single generation, waiting for the end, lists that lose nothing while rows arrive, and the timeline.
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import { STATUSES } from '@reelqueue/contract/terms/status'
import { eventJson } from '@reelqueue/contract/wire/event'
import { type GenerationJson, generationJson } from '@reelqueue/contract/wire/generation'
import { buildSimulator } from '@reelqueue/simulator/app'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import {
  type Client,
  clientOf,
  clientOfNewProject,
  generationOf,
  MINIMAL,
  problemOf,
  send,
  startApi,
} from './support/api.ts'
import { createDatabase, runSql } from './support/database.ts'
import { endGeneration, openSubmission, startGeneration, VIDEO_URL } from './support/endings.ts'
import { startRedis } from './support/redis.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const { database, app, client } = await startApi()

async function accept(fields: Record<string, unknown> = {}, by = client): Promise<GenerationJson> {
  return generationOf(await by.post('/v1/generations', { ...MINIMAL, ...fields }))
}

const page = z.strictObject({ data: z.array(generationJson.strict()), next_cursor: z.string().nullable() })

async function list(by: Client, query: string) {
  const reply = await by.get(`/v1/generations?${query}`)
  expect(reply.status, reply.text).toBe(200)
  return page.parse(JSON.parse(reply.text))
}

describe('GET /v1/generations/{id}', () => {
  it('shows a completed one with its video', async () => {
    const { id, created_at } = await accept()
    await endGeneration(app.database, id, 'completed')
    const generation = generationOf(await client.get(`/v1/generations/${id}`))
    expect(generation).toMatchObject({ status: 'completed', video_url: VIDEO_URL, actual_duration: 4.04, error: null })
    expect(generation.upstream_task_id).toBe(`task_of_${id}`)
    const times = [created_at, generation.submitted_at, generation.finished_at, generation.video_url_expires_at]
    expect(times).toEqual([...times].sort())
  })

  it('shows a failed one with its error', async () => {
    const { id } = await accept()
    await endGeneration(app.database, id, 'failed')
    expect(generationOf(await client.get(`/v1/generations/${id}`))).toMatchObject({
      status: 'failed',
      video_url: null,
      error: { code: 'upstream_failed', message: 'the provider said no' },
    })
  })

  it("does not know another project's, whatever is asked of it", async () => {
    const { id } = await accept()
    const other = await clientOfNewProject(app, 'curious')
    const replies = [
      await other.get(`/v1/generations/${id}`),
      await other.get(`/v1/generations/${id}?wait=60`),
      await other.get(`/v1/generations/${id}/events`),
      await other.get(`/v1/result/${id}`),
      await other.post(`/v1/generations/${id}/cancel`),
    ]
    for (const reply of replies) {
      expect(reply.status).toBe(404)
      expect(problemOf(reply).code).toBe('not_found')
    }
    expect(generationOf(await client.get(`/v1/generations/${id}`)).status).toBe('queued')
  })
})

describe('?wait=', () => {
  it('answers as soon as the generation has ended, to everyone who waits', async () => {
    const { id } = await accept()
    await nobodyLooks()
    const waiting = Array.from({ length: 20 }, () => client.get(`/v1/generations/${id}?wait=60`))
    const shaped = client.get(`/v1/result/${id}?wait=60`)
    await anyoneLooks()
    await endGeneration(app.database, id, 'completed')
    for (const reply of await Promise.all(waiting)) expect(generationOf(reply).status).toBe('completed')
    expect(JSON.parse((await shaped).text).status).toBe('completed')
  })

  it('answers at once when it has ended before', async () => {
    const { id } = await accept()
    await client.post(`/v1/generations/${id}/cancel`)
    const startedAt = performance.now()
    expect(generationOf(await client.get(`/v1/generations/${id}?wait=60`)).status).toBe('cancelled')
    expect(performance.now() - startedAt).toBeLessThan(10_000)
  })

  it('answers the present state when the time is over', async () => {
    const { id } = await accept()
    const startedAt = performance.now()
    const reply = await client.get(`/v1/generations/${id}?wait=0.5`)
    expect(performance.now() - startedAt).toBeGreaterThan(490)
    expect(reply.status).toBe(200)
    expect(generationOf(reply).status).toBe('queued')
  })

  it('stops looking when the client has gone', async () => {
    const { id } = await accept()
    const outgoing = request(`${app.url}/v1/generations/${id}?wait=60`, {
      agent: false,
      headers: { authorization: `Bearer ${app.key}` },
    })
    const hungUp = once(outgoing, 'error')
    await nobodyLooks()
    outgoing.end()
    await anyoneLooks()
    outgoing.destroy()
    await hungUp
    await nobodyLooks()
  })

  it('lets everyone go when the API closes', async () => {
    const own = await createDatabase()
    const closing = await startTestApp({ databaseUrl: own.url, api: true })
    try {
      const { id } = await accept({}, clientOf(closing.url, closing.key))
      const waiting = clientOf(closing.url, closing.key).get(`/v1/generations/${id}?wait=60`)
      await until('it waits', async () => (await sinceLastLookMs(own.url)) < 1_000)
      await closing.close()
      expect(generationOf(await waiting).status).toBe('queued')
    } finally {
      await closing.close()
      await own.drop()
    }
  })

  /** Milliseconds since the API's last query for ended generations; Infinity without a query. */
  async function sinceLastLookMs(url = database.url): Promise<number> {
    const [row] = await runSql<{ ms: number | null }>(
      url,
      `SELECT extract(epoch FROM clock_timestamp() - max(query_start))::float8 * 1000 AS ms FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'reelqueue' AND query LIKE '%/* endedAmong */%'`,
    )
    return row?.ms ?? Number.POSITIVE_INFINITY
  }

  const anyoneLooks = () => until('somebody waits', async () => (await sinceLastLookMs()) < 500)
  const nobodyLooks = () => until('nobody waits', async () => (await sinceLastLookMs()) > 1_500)
})

describe.each(['postgres', 'redis'] as const)('a generation with the queues on %s', (backend) => {
  it('is seen to its end by one request that waits', async () => {
    const own = await createDatabase()
    const redis = backend === 'redis' ? await startRedis() : undefined
    const simulator = buildSimulator({ seed: 1 })
    const upstream = await simulator.listen({ host: '127.0.0.1', port: 0 })
    const whole = await startTestApp({
      databaseUrl: own.url,
      ...(redis && { redisUrl: redis.url }),
      env: { UPSTREAM_BASE_URL: upstream, UPSTREAM_API_KEY: 'any', POLL_INTERVAL_MIN_MS: '50' },
      api: true,
      worker: true,
    })
    try {
      const mine = clientOf(whole.url, whole.key)
      const { id } = await accept({ prompt: 'a fox [sim:render=100]', seconds: 4 }, mine)
      const generation = generationOf(await mine.get(`/v1/generations/${id}?wait=60`))
      expect(generation).toMatchObject({ id, status: 'completed', error: null })
      const clip = await send('GET', generation.video_url ?? '')
      expect([clip.status, clip.headers['content-type']]).toEqual([200, 'video/mp4'])
      const ready = await send('GET', `${whole.url}/readyz`)
      expect(ready.status, ready.text).toBe(200)
    } finally {
      await whole.close()
      await simulator.close()
      await redis?.destroy()
      await own.drop()
    }
  })
})

describe('GET /v1/generations', () => {
  it('walks every generation once, newest first, while others arrive', async () => {
    const mine = await clientOfNewProject(app, 'walks')
    const made: string[] = []
    for (let index = 0; index < 23; index++) made.unshift((await accept({}, mine)).id)
    const walked: string[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const { data, next_cursor } = await list(mine, `limit=5${cursor && `&cursor=${cursor}`}`)
      walked.push(...data.map((generation) => generation.id))
      expect(data.length).toBeLessThanOrEqual(5)
      await accept({}, mine)
      cursor = next_cursor
    }
    expect(walked).toEqual(made)
  })

  it('has no next page when the last one is exactly full', async () => {
    const mine = await clientOfNewProject(app, 'exactly')
    await Promise.all([accept({}, mine), accept({}, mine)])
    expect((await list(mine, 'limit=2')).next_cursor).toBeNull()
    expect((await list(mine, 'limit=1')).next_cursor).toEqual(expect.any(String))
    expect((await list(mine, '')).data).toHaveLength(2)
  })

  it('shows twenty of many when no limit is named, and a hundred at most', async () => {
    const mine = await clientOfNewProject(app, 'many')
    await mine.post('/v1/batches', { items: Array(101).fill(MINIMAL) })
    expect((await list(mine, '')).data).toHaveLength(20)
    expect((await list(mine, 'limit=100')).data).toHaveLength(100)
  })

  it('filters by status, custom_id and batch, together and page by page', async () => {
    const mine = await clientOfNewProject(app, 'filters')
    const single = await accept({ custom_id: 'one' }, mine)
    const batch = JSON.parse(
      (
        await mine.post('/v1/batches', {
          items: ['one', 'two', 'three'].map((custom_id) => ({ ...MINIMAL, custom_id })),
        })
      ).text,
    )
    const ofBatch = (await list(mine, `batch_id=${batch.id}`)).data
    expect(ofBatch.map((generation) => generation.custom_id)).toEqual(['three', 'two', 'one'])
    expect((await list(mine, 'custom_id=one')).data.map(({ id }) => id)).toEqual([ofBatch[2]?.id, single.id])
    expect((await list(mine, `custom_id=one&batch_id=${batch.id}`)).data.map(({ id }) => id)).toEqual([ofBatch[2]?.id])
    expect((await list(mine, 'custom_id=nobody')).data).toEqual([])

    await mine.post(`/v1/generations/${single.id}/cancel`)
    await endGeneration(app.database, ofBatch[0]?.id ?? '', 'completed')
    await endGeneration(app.database, ofBatch[1]?.id ?? '', 'failed')
    await startGeneration(app.database, ofBatch[2]?.id ?? '')
    const last = await accept({}, mine)
    await openSubmission(app.database, last.id)
    const waits = await accept({}, mine)
    const byStatus: Record<string, (string | undefined)[]> = {}
    for (const status of STATUSES) byStatus[status] = (await list(mine, `status=${status}`)).data.map(({ id }) => id)
    expect(byStatus).toEqual({
      queued: [waits.id],
      submitting: [last.id],
      processing: [ofBatch[2]?.id],
      completed: [ofBatch[0]?.id],
      failed: [ofBatch[1]?.id],
      cancelled: [single.id],
    })
    const first = await list(mine, `batch_id=${batch.id}&limit=2`)
    const rest = await list(mine, `batch_id=${batch.id}&limit=2&cursor=${first.next_cursor}`)
    expect([...first.data, ...rest.data].map(({ custom_id }) => custom_id)).toEqual(['three', 'two', 'one'])
    expect(rest.next_cursor).toBeNull()
  })
})

describe('GET /v1/generations/{id}/events', () => {
  const timeline = z.strictObject({ data: z.array(eventJson.strict()), next_cursor: z.string().nullable() })

  it('has the whole life of a generation in order, without gaps', async () => {
    const { id } = await accept()
    await endGeneration(app.database, id, 'completed')
    const { data, next_cursor } = timeline.parse(JSON.parse((await client.get(`/v1/generations/${id}/events`)).text))
    expect(data.map(({ sequence, type }) => [sequence, type])).toEqual([
      [1, 'generation.queued'],
      [2, 'generation.submitting'],
      [3, 'generation.processing'],
      [4, 'generation.completed'],
    ])
    expect(data.at(-1)?.data).toMatchObject({ status: 'completed', video_url: VIDEO_URL })
    expect(next_cursor).toBeNull()
    const later = timeline.parse(JSON.parse((await client.get(`/v1/generations/${id}/events?after=2`)).text))
    expect(later.data).toEqual(data.slice(2))
  })

  it('has nothing after the last number that there can be', async () => {
    const { id } = await accept()
    const reply = await client.get(`/v1/generations/${id}/events?after=2147483647`)
    expect(timeline.parse(JSON.parse(reply.text))).toEqual({ data: [], next_cursor: null })
  })

  it.each(['-1', 'x', '1.5', '2147483648', '3000000000'])('refuses after=%s', async (after) => {
    const { id } = await accept()
    const reply = await client.get(`/v1/generations/${id}/events?after=${after}`)
    expect(reply.status).toBe(422)
    expect(problemOf(reply)).toMatchObject({ code: 'validation_failed', errors: [{ field: 'after' }] })
  })
})

it.each([
  '/v1/generations?stauts=queued',
  '/v1/batches?wait=30',
  '/v1/batches/batch_x?wait=30',
  '/v1/result/gen_x?limit=1',
])('refuses a query that %s knows nothing of, rather than ignoring it', async (path) => {
  const problem = problemOf(await client.get(path))
  const [name] = new URL(path, app.url).searchParams.keys()
  expect(problem).toMatchObject({ code: 'validation_failed', total: 1 })
  expect(problem.errors).toMatchObject([{ field: name, rule: 'unknown_field' }])
})

it('a long reply is compressed for those who take it so, and no other', async () => {
  const { id } = await accept({ prompt: 'fox '.repeat(1_000), custom_id: 'long' })
  const read = async (encoding: string) => {
    const headers = { authorization: `Bearer ${app.key}`, 'accept-encoding': encoding }
    const outgoing = request(`${app.url}/v1/generations?limit=1&custom_id=long`, { headers }).end()
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    return { headers: response.headers, body: await buffer(response) }
  }
  expect((await list(client, 'limit=1&custom_id=long')).data[0]?.id).toBe(id)
  const plain = await read('identity')
  const packed = await read('br;q=1, gzip;q=0.5')
  expect(plain.headers['content-encoding']).toBeUndefined()
  expect(packed.headers['content-encoding']).toBe('gzip')
  expect([plain.headers.vary, packed.headers.vary]).toEqual(['Accept-Encoding', 'Accept-Encoding'])
  expect(gunzipSync(packed.body).equals(plain.body)).toBe(true)
  expect(packed.body.length).toBeLessThan(plain.body.length / 2)
  expect((await read('gzip;q=0, *')).headers['content-encoding']).toBeUndefined()
})

it.each([
  ['the document of the API', '/openapi.json', {}],
  ['metrics', '/metrics', app.login],
  ['the list of the dashboard', '/admin/queues/api/queues', app.login],
])('%s is compressed too, and a HEAD of it has the same headers and no body', async (_title, path, login) => {
  const read = async (method: string, encoding: string) => {
    const headers = { ...login, 'accept-encoding': encoding }
    const outgoing = request(app.url + path, { method, headers }).end()
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    return { status: response.statusCode, headers: response.headers, body: await buffer(response) }
  }
  const packed = await read('GET', 'GZIP')
  expect([packed.status, packed.headers['content-encoding']]).toEqual([200, 'gzip'])
  expect(packed.headers['content-length']).toBe(String(packed.body.length))
  expect(gunzipSync(packed.body).length).toBeGreaterThan(packed.body.length)
  const head = await read('HEAD', 'gzip')
  expect([head.status, head.headers['content-encoding'], head.body.length]).toEqual([200, 'gzip', 0])
  expect(head.headers['content-type']).toBe(packed.headers['content-type'])
})
