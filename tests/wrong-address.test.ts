// A base URL that leads to another server than the provider, while a backlog waits: the whole pipeline, with newly
// started workers and a server with the same reply to every request.

import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { readGate } from '@reelqueue/shared/store/admission/submitting-gate'
import { afterAll, expect, it } from 'vitest'
import { clientOf, send } from './support/api.ts'
import { startPipeline } from './support/pipeline.ts'
import { type Act, answer, startScriptedUpstream } from './support/scripted-upstream.ts'
import { until } from './support/wait.ts'

const WAITING = 40
const COST_MAX = 5

const stranger = await startScriptedUpstream()
const pipeline = await startPipeline({
  backend: 'postgres',
  workers: 0,
  env: { UPSTREAM_BASE_URL: stranger.origin, RECONCILE_INTERVAL_MS: '1000' },
})
const { api } = pipeline
afterAll(async () => {
  await pipeline.close()
  await stranger.stop()
})

let requests = 0
/** A different reply each time. */
const fresh =
  (body: (n: number) => object): Act =>
  (response, received) =>
    answer(200, body(++requests))(response, received)

it.each<[string, Act]>([
  ['the same id to everybody', answer(200, { id: 'abc', object: 'list' })],
  ['the only entry of its list', answer(200, { object: 'list', data: [{ id: 'some-model', object: 'model' }] })],
  ['ids of things of its own', fresh((n) => ({ id: `thing-${n}`, object: 'thing' }))],
  ['the id and state of a request', fresh((n) => ({ request_id: `request-${n}`, status: 'ok' }))],
  ['that something failed, with an id', fresh((n) => ({ id: `error-${n}`, status: 'error' }))],
  ['that all is well', answer(200, { ok: true })],
  ['that there is a conflict', answer(409, { error: 'conflict' })],
])('a server that answers %s costs two workers that have just started at most five', async (_, act) => {
  stranger.play(act)
  const batch = await pipeline.postBatch(Array.from({ length: WAITING }, () => ({ model: 'openAiSora2Plus' })))
  const workers = await Promise.all([pipeline.startWorker(), pipeline.startWorker()])
  const where = { batchId: batch }
  try {
    // A trial was submitted after the gate had closed, and closed the gate again.
    await until('the gate stays closed', async () => {
      const { unreachableSince, silentTrials } = await readGate(api.database, CONFIGURED.name)
      return unreachableSince !== null && silentTrials > 0
    })
    expect((await send('GET', `${api.url}/readyz`)).text).toMatch(/UPSTREAM_BASE_URL is wrong/)
  } finally {
    await Promise.all(workers.map((worker) => worker.close()))
  }
  const waiting = await api.database.prisma.generation.count({ where: { ...where, currentSubmissionId: null } })
  expect(WAITING - waiting).toBeLessThanOrEqual(COST_MAX)
  const sent = stranger.received.filter(({ method }) => method === 'POST')
  expect(sent.length).toBeLessThanOrEqual(COST_MAX)
  const cancelled = await clientOf(api.url, api.key).post(`/v1/batches/${batch}/cancel`, {})
  expect(cancelled.status, cancelled.text).toBeLessThan(300)
  const resumed = await send('POST', `${api.url}/admin/submitting/resume`, undefined, api.login)
  expect(resumed.status, resumed.text).toBe(200)
})
