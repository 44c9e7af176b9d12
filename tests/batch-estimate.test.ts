// Estimated duration and cost of a batch, before accepting and while running, from earlier clips of the same profiles.

import { batchCheckJson, batchJson } from '@reelqueue/contract/wire/batch'
import { readRenderStats, recordRenders } from '@reelqueue/shared/store/lifecycle/render-stats'
import { describe, expect, it } from 'vitest'
import { clientOf, clientOfNewProject, MINIMAL, problemOf, type Reply, startApi } from './support/api.ts'
import { runSql } from './support/database.ts'
import { endGeneration, startGeneration } from './support/endings.ts'
import { startTestApp } from './support/test-app.ts'

const { database, app, client } = await startApi({ UPSTREAM_API_KEY: 'key' })

const CLIP = { model: MINIMAL.model, seconds: 8, size: null }

/** A completed clip with the given render time and cost. */
async function completed(renderMs: number, amount: number | null): Promise<string> {
  const reply = await client.post('/v1/generations', { ...MINIMAL, seconds: 8 })
  const { id } = JSON.parse(reply.text) as { id: string }
  await endGeneration(app.database, id, 'completed')
  await runSql(
    database.url,
    `UPDATE generations SET submitted_at = finished_at - ${renderMs} * interval '1 ms',
      cost = ${amount === null ? 'NULL' : `'{"amount": ${amount}}'`} WHERE id = '${id}'`,
  )
  return id
}

const batchOf = (reply: Reply) => batchJson.strict().parse(JSON.parse(reply.text))
const checkOf = (reply: Reply) => batchCheckJson.strict().parse(JSON.parse(reply.text))
const inMs = (at: string | null | undefined) => Date.parse(at ?? '') - Date.now()

describe('without history', () => {
  it('nothing is claimed', async () => {
    const reply = await client.post('/v1/batches?dry_run=true', { items: [MINIMAL] })
    expect(checkOf(reply)).toEqual({ object: 'batch_check', total: 1, estimate: { ends_at: null, amount: null } })
  })
})

describe('with history', () => {
  it('no end is promised while nothing is submitted, and none by an installation without a key', async () => {
    await recordRenders(app.database, [await completed(60_000, 1)])
    const ahead = async (by = client) =>
      checkOf(await by.post('/v1/batches?dry_run=true', { items: [{ ...MINIMAL, seconds: 8 }] })).estimate
    expect(await ahead()).toEqual({ ends_at: expect.any(String), amount: 1 })
    await client.post('/v1/project/pause')
    expect(await ahead()).toEqual({ ends_at: null, amount: 1 })
    await client.post('/v1/project/resume')
    const keyless = await startTestApp({ databaseUrl: database.url, api: true })
    expect(await ahead(clientOf(keyless.url, keyless.key))).toEqual({ ends_at: null, amount: 1 })
    await keyless.close()
    await runSql(database.url, 'DELETE FROM render_stats')
  })

  it('the means are of the last clips, so that they follow the provider', async () => {
    await recordRenders(app.database, [await completed(60_000, 1), await completed(120_000, null)])
    expect(await readRenderStats(app.database, [CLIP])).toEqual([{ ...CLIP, renderMs: 90_000, amount: 1 }])
    for (const [renderMs, amount] of [
      [60_000, 1],
      [30_000, 3],
    ] as const) {
      const id = await completed(renderMs, amount)
      for (let clip = 0; clip < 200; clip++) await recordRenders(app.database, [id])
    }
    const [now] = await readRenderStats(app.database, [CLIP, { ...CLIP, seconds: 4 }])
    expect(now?.renderMs).toBeGreaterThanOrEqual(30_000)
    expect(now?.renderMs).toBeLessThan(31_000)
    expect(now?.amount).toBeGreaterThan(2.9)
  })

  it('prices of long ago are forgotten, and adopted or late clips are left out', async () => {
    const long = async (fields: string) => {
      const reply = await client.post('/v1/generations', { ...MINIMAL, seconds: 4 })
      const { id } = JSON.parse(reply.text) as { id: string }
      await endGeneration(app.database, id, 'completed')
      await runSql(database.url, `UPDATE generations SET ${fields} WHERE id = '${id}'`)
      return id
    }
    const profile = { ...CLIP, seconds: 4 }
    const known = async () => (await readRenderStats(app.database, [profile]))[0]
    const late = await long(`submitted_at = finished_at - interval '3 hours'`)
    const adopted = await long(`submitted_at = finished_at - interval '1 minute'`)
    await runSql(database.url, `UPDATE submissions SET adopted_at = now() WHERE generation_id = '${adopted}'`)
    await recordRenders(app.database, [late, adopted])
    expect(await known()).toBeUndefined()
    const priced = await long(`submitted_at = finished_at - interval '1 minute', cost = '{"amount": 9}'`)
    const plain = await long(`submitted_at = finished_at - interval '1 minute'`)
    await recordRenders(app.database, [priced])
    expect((await known())?.amount).toBe(9)
    await runSql(database.url, `UPDATE render_stats SET priced = 1e-200, amount = 1e-200 WHERE seconds = 4`)
    await recordRenders(app.database, [plain])
    expect(await known()).toMatchObject({ renderMs: 60_000, amount: null })
  })

  it('a batch is estimated while it runs, and by what has not ended', async () => {
    const items = [{ ...MINIMAL }, { ...MINIMAL, seconds: 8 }]
    const { id, estimate } = batchOf(await client.post('/v1/batches', { items, defaults: { seconds: 8 } }))
    expect(estimate).toBeUndefined()
    const [first, second] = (await client.get(`/v1/batches/${id}/results`)).text
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: string }).id)
    const running = batchOf(await client.get(`/v1/batches/${id}`)).estimate
    expect(running?.amount).toBeGreaterThan(5.8)
    expect(inMs(running?.ends_at)).toBeGreaterThan(20_000)
    await endGeneration(app.database, first ?? '', 'completed')
    await startGeneration(app.database, second ?? '')
    const half = batchOf(await client.get(`/v1/batches/${id}`)).estimate
    expect(half?.amount).toBeLessThan(3.1)
    expect(half?.amount).toBeGreaterThan(2.9)
    expect(inMs(half?.ends_at)).toBeLessThan(32_000)
    await client.post(`/v1/batches/${id}/cancel`, { rendering: 'cancel' })
    expect(batchOf(await client.get(`/v1/batches/${id}`)).estimate).toBeUndefined()
  })

  it('a dry run checks and estimates, of a document and of lines, and accepts nothing', async () => {
    const other = await clientOfNewProject(app, 'cautious')
    const line = JSON.stringify({ ...MINIMAL, seconds: 8 })
    const lines = (text: string) =>
      other.post('/v1/batches?dry_run=true', text, { 'content-type': 'application/x-ndjson' })
    const headers = { 'idempotency-key': 'one' }
    const document = await other.post('/v1/batches?dry_run=true', { items: [{ ...MINIMAL, seconds: 8 }] }, headers)
    expect(document.status).toBe(200)
    expect(checkOf(await lines(`${line}\n${line}`)).total).toBe(2)
    expect(checkOf(document).estimate.amount).toBeGreaterThan(2.9)
    expect(problemOf(await lines(`${line}\n{}`)).errors?.[0]).toMatchObject({ line: 2 })
    expect(JSON.parse((await other.get('/v1/generations')).text).data).toEqual([])
    expect(JSON.parse((await other.get('/v1/batches')).text).data).toEqual([])
    // A check does not use up the idempotency key.
    expect((await other.post('/v1/batches', { items: [MINIMAL] }, headers)).status).toBe(202)
  })
})
