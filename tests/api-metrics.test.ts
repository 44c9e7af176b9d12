// Prometheus metrics: the same numbers as in the tables.

import { addAnswerCounts } from '@reelqueue/shared/store/operator/answer-counts'
import { noteUnstorable } from '@reelqueue/shared/store/unstorable'
import { expect, it } from 'vitest'
import { MINIMAL, send, startApi } from './support/api.ts'
import { openSubmission, startGeneration } from './support/endings.ts'
import { until } from './support/wait.ts'

const { app, client } = await startApi()

async function scrape(): Promise<Map<string, number>> {
  const reply = await send('GET', `${app.url}/metrics`, undefined, app.login)
  expect(reply.status, reply.text).toBe(200)
  expect(reply.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/)
  const samples = reply.text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    samples.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  )
}

it('shows open work, and what holds it back', async () => {
  const items = Array.from({ length: 5 }, () => ({ ...MINIMAL, webhook_url: 'https://hooks.example/' }))
  const { id: batchId } = JSON.parse((await client.post('/v1/batches', { items })).text) as { id: string }
  expect((await scrape()).get('reelqueue_generations_waiting')).toBe(5)
  const rows = await app.database.prisma.generation.findMany({ where: { batchId }, orderBy: { id: 'asc' } })
  await startGeneration(app.database, rows[0]?.id ?? '')
  await openSubmission(app.database, rows[1]?.id ?? '')
  await send('POST', `${app.url}/admin/submitting/pause`, undefined, app.login)
  expect(Object.fromEntries(await scrape())).toEqual({
    reelqueue_generations_waiting: 3,
    'reelqueue_generations_in_flight{status="queued"}': 0,
    'reelqueue_generations_in_flight{status="submitting"}': 1,
    'reelqueue_generations_in_flight{status="processing"}': 1,
    reelqueue_generations_slow: 0,
    'reelqueue_slots_late{cause="unknown"}': 0,
    'reelqueue_slots_late{cause="cancelled"}': 0,
    'reelqueue_slots_late{cause="overdue"}': 0,
    'reelqueue_slots_late{cause="retried"}': 0,
    reelqueue_slots_max: app.context.config.UPSTREAM_MAX_IN_FLIGHT,
    reelqueue_batches_open: 1,
    reelqueue_deliveries_pending: 0,
    reelqueue_overdue_rows: 0,
    reelqueue_unstorable_rows: 0,
    reelqueue_submitting_open: 0,
    'reelqueue_submitting_held{cause="paused"}': 1,
    'reelqueue_submitting_held{cause="account"}': 0,
    'reelqueue_submitting_held{cause="configuration"}': 0,
    'reelqueue_submitting_held{cause="same_refusals"}': 0,
    'reelqueue_submitting_held{cause="unreachable"}': 0,
    'reelqueue_submitting_held{cause="asked_to_wait"}': 0,
    'reelqueue_submitting_held{cause="no_key"}': 1,
  })
  await client.post(`/v1/batches/${batchId}/cancel`)
  await until('its deliveries exist', async () => (await app.database.prisma.pendingFanOut.count()) === 0)
  await noteUnstorable(app.database, 'record', rows[0]?.id ?? '', new Error('any'))
  const later = await scrape()
  expect(later.get('reelqueue_deliveries_pending')).toBe(3)
  expect(later.get('reelqueue_unstorable_rows')).toBe(1)
})

it('is for operators', async () => {
  const headers = { authorization: `Bearer ${app.key}` }
  expect((await send('GET', `${app.url}/metrics`, undefined, headers)).status).toBe(401)
})

it('shows how the provider answered, over all workers', async () => {
  const refused = { upstream: 'globalai', call: 'poll', class: 'refused', count: 2 }
  await addAnswerCounts(app.database, [refused, { ...refused, call: 'create', class: 'accepted', count: 1 }])
  await addAnswerCounts(app.database, [refused])
  const samples = await scrape()
  const of = (call: string, name: string) =>
    samples.get(`reelqueue_upstream_answers_total{upstream="globalai",call="${call}",class="${name}"}`)
  expect([of('poll', 'refused'), of('create', 'accepted')]).toEqual([4, 1])
})
