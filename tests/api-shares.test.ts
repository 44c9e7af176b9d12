// Limits of a single project: a share of the connections to Postgres, and a maximum of endpoints.

import { recordOutcome } from '@reelqueue/shared/store/lifecycle/record-outcome'
import { buildSimulator } from '@reelqueue/simulator/app'
import { expect, it } from 'vitest'
import { clientOf, clientOfNewProject, generationOf, MINIMAL, problemOf, type Reply, startApi } from './support/api.ts'
import { createDatabase, openClient } from './support/database.ts'
import { openSubmission } from './support/endings.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const { database, app, client } = await startApi()

it('two hundred changes that wait for a locked row delay no other request, and end', async () => {
  const quiet = await clientOfNewProject(app, 'quiet')
  const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
  const holder = await openClient(database.url)
  await holder.query('BEGIN')
  await holder.query('SELECT FROM generations WHERE id = $1 FOR UPDATE', [id])
  let areAnswered = false
  const cancels = Promise.all(Array.from({ length: 200 }, () => client.post(`/v1/generations/${id}/cancel`))).finally(
    () => {
      areAnswered = true
    },
  )
  // Until the last cancel is answered, other requests are served as usual.
  let rounds = 0
  for (; !areAnswered; rounds++) {
    const made = generationOf(await quiet.post('/v1/generations', MINIMAL))
    expect((await quiet.get(`/v1/generations/${made.id}`)).status).toBe(200)
    expect(generationOf(await quiet.post(`/v1/generations/${made.id}/cancel`)).status).toBe('cancelled')
    expect((await client.post('/v1/generations', MINIMAL)).status).toBe(202)
    expect((await client.get(`/v1/generations/${id}`)).status).toBe(200)
  }
  expect(rounds).toBeGreaterThan(3)
  const replies: readonly Reply[] = await cancels
  for (const reply of replies) {
    const { code, status } = problemOf(reply)
    expect([
      [429, 'too_many_at_once'],
      [503, 'unavailable'],
    ]).toContainEqual([status, code])
    expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0)
  }
  await holder.query('ROLLBACK')
  await holder.end()
  expect(generationOf(await client.post(`/v1/generations/${id}/cancel`)).status).toBe('cancelled')
}, 120_000)

it('results that are streamed at once read as few pages at a time as other reads of a project', async () => {
  const own = await createDatabase()
  const wide = await startTestApp({ databaseUrl: own.url, api: true, env: { DATABASE_CONNECTIONS_MAX: '30' } })
  const reader = clientOf(wide.url, wide.key)
  const { id } = JSON.parse((await reader.post('/v1/batches', { items: [MINIMAL] })).text)
  const holder = await openClient(own.url)
  await holder.query('BEGIN; LOCK TABLE generations IN ACCESS EXCLUSIVE MODE')
  let ended = 0
  const results = Array.from({ length: 40 }, () =>
    reader
      .get(`/v1/batches/${id}/results`)
      .catch(() => null)
      .finally(() => ended++),
  )
  let most = 0
  await until('the first has given up the table', async () => {
    const { rows } = await holder.query(
      'SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))',
    )
    most = Math.max(most, rows.length)
    return ended > 0
  })
  expect(most).toBe(16)
  await holder.query('ROLLBACK')
  await holder.end()
  await Promise.all(results)
  await wide.close()
  await own.drop()
}, 120_000)

it('eighty endpoints that are made at once become fifty', async () => {
  const replies = await Promise.all(
    Array.from({ length: 80 }, (_, n) => client.post('/v1/webhook_endpoints', { url: `https://hooks.example/${n}` })),
  )
  const refused = replies.filter(({ status }) => status !== 201)
  expect(new Set(refused.map((reply) => problemOf(reply).code))).toEqual(new Set(['too_many_endpoints']))
  expect(refused).toHaveLength(30)
})

it('adoptions that wait for a silent provider delay no other change', async () => {
  const simulator = buildSimulator({ speed: 1 })
  const upstream = await simulator.listen({ host: '127.0.0.1', port: 0 })
  await simulator.inject({ method: 'POST', url: '/control/faults', payload: { on: 'poll', fault: 'hang' } })
  const own = await createDatabase()
  const env = { UPSTREAM_BASE_URL: upstream, UPSTREAM_API_KEY: 'any' }
  const waiting = await startTestApp({ databaseUrl: own.url, api: true, env })
  const result = { kind: 'unknown', code: 'upstream_timeout', message: 'no answer', httpStatus: null } as const
  const adoptions: Promise<Reply>[] = []
  for (const name of ['one', 'two', 'three']) {
    const noisy = await clientOfNewProject(waiting, name)
    const { id } = generationOf(await noisy.post('/v1/generations', MINIMAL))
    const submission = await openSubmission(waiting.database, id)
    await recordOutcome(waiting.database, submission, result, { firstPollMs: 60_000, renderMaxMs: 60_000 })
    for (let n = 0; n < 3; n++)
      adoptions.push(noisy.post(`/v1/generations/${id}/adopt`, { upstream_task_id: `sora_${name}_${n}` }))
  }
  const asked = async () => (await simulator.inject('/control/stats')).json<{ polls: Record<string, number> }>().polls
  await until('the provider is asked', async () => Object.keys(await asked()).length > 0)
  const quiet = await clientOfNewProject(waiting, 'quiet')
  for (let n = 0; n < 20; n++) {
    const { id } = generationOf(await quiet.post('/v1/generations', MINIMAL))
    expect(generationOf(await quiet.post(`/v1/generations/${id}/cancel`)).status).toBe('cancelled')
  }
  // The provider has not answered yet: all adoptions were waiting during the rounds.
  expect(await Promise.race([...adoptions, 'none'])).toBe('none')
  for (const reply of await Promise.all(adoptions)) expect(problemOf(reply).code).toBe('upstream_unavailable')
  await waiting.close()
  await own.drop()
  await simulator.close()
}, 120_000)
