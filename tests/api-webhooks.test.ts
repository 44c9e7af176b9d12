// Webhook endpoints and the log of deliveries, from the caller's side.

import { newId } from '@reelqueue/contract/terms/ids'
import { projectWithSecret } from '@reelqueue/contract/wire/project'
import { deliveryJson, deliveryWithLog } from '@reelqueue/contract/wire/webhook-delivery'
import { endpointJson, endpointWithSecret } from '@reelqueue/contract/wire/webhook-endpoint'
import { headerPlace, secretPlace } from '@reelqueue/shared/domain/sealed-places'
import type { DeliveryDecision } from '@reelqueue/shared/store/deliveries/attempts'
import { startCoolDown } from '@reelqueue/shared/store/deliveries/cool-downs'
import { isWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import { describe, expect, it } from 'vitest'
import { clientOfNewProject, MINIMAL, problemOf, type Reply, startApi } from './support/api.ts'
import { runSql } from './support/database.ts'
import { claimDelivery, recordAttempt } from './support/deliveries.ts'
import { endGeneration } from './support/endings.ts'

const { database, app, client } = await startApi()

const URL_OF = 'https://hooks.example/all'
const endpointOf = (reply: Reply) => endpointJson.strict().parse(JSON.parse(reply.text))
const deliveryOf = (reply: Reply) => deliveryWithLog.strict().parse(JSON.parse(reply.text))

let added = 0
/** An endpoint, by default with a new URL. */
async function add(fields: Record<string, unknown> = {}, by = client) {
  const reply = await by.post('/v1/webhook_endpoints', { url: `${URL_OF}/${added++}`, ...fields })
  expect(reply.status, reply.text).toBe(201)
  expect(reply.headers.location).toBe(`/v1/webhook_endpoints/${JSON.parse(reply.text).id}`)
  return endpointWithSecret.strict().parse(JSON.parse(reply.text))
}

async function deliveriesOf(query: string, by = client) {
  const reply = await by.get(`/v1/webhook_deliveries?${query}`)
  expect(reply.status, reply.text).toBe(200)
  return (JSON.parse(reply.text) as { data: unknown[] }).data.map((row) => deliveryJson.strict().parse(row))
}

/** Records an attempt with the given outcome. */
async function attempted(id: string, decision: DeliveryDecision): Promise<void> {
  const claimed = await claimDelivery(app.database, id, 60_000)
  const succeeded = decision.state === 'succeeded'
  await recordAttempt(
    app.database,
    {
      deliveryId: id,
      attempt: claimed?.attempt ?? 0,
      httpStatus: succeeded ? 200 : 500,
      errorClass: succeeded ? null : 'http_status',
      message: 'so it went',
      replySnippet: 'ok',
      durationMs: 12,
    },
    decision,
  )
}

describe('an endpoint', () => {
  it('shows its secret when it is made, and never again; at rest it is sealed', async () => {
    const { secret, ...made } = await add({ event_types: ['generation.completed'], description: 'the shop' })
    expect(isWebhookSecret(secret)).toBe(true)
    expect(made).toMatchObject({
      url: expect.stringContaining(URL_OF),
      event_types: ['generation.completed'],
      description: 'the shop',
      enabled: true,
    })
    expect(endpointOf(await client.get(`/v1/webhook_endpoints/${made.id}`))).toEqual(made)
    const [row] = await runSql<{ secret: string }>(
      database.url,
      `SELECT secret FROM webhook_endpoints WHERE id = '${made.id}'`,
    )
    expect(row?.secret).toMatch(/^v2\./)
    const list = await client.get('/v1/webhook_endpoints?limit=1')
    expect(JSON.parse(list.text).data).toEqual([made])
    expect(list.text).not.toContain('whsec_')
  })

  it('is changed, disabled, enabled and deleted', async () => {
    const { id } = await add()
    const change = (body: unknown) => client.patch(`/v1/webhook_endpoints/${id}`, body)
    const changed = endpointOf(await change({ url: 'https://other.example/', event_types: [], description: null }))
    expect(changed).toMatchObject({ url: 'https://other.example/', description: null, enabled: true })
    expect(endpointOf(await change({ enabled: false }))).toMatchObject({
      enabled: false,
      disabled_reason: 'by_request',
    })
    expect(problemOf(await client.post(`/v1/webhook_endpoints/${id}/test`)).code).toBe('endpoint_disabled')
    expect(endpointOf(await change({ enabled: true }))).toMatchObject({
      enabled: true,
      disabled_at: null,
      disabled_reason: null,
    })
    const deleted = await client.delete(`/v1/webhook_endpoints/${id}`)
    expect([deleted.status, JSON.parse(deleted.text)]).toEqual([200, { id, object: 'webhook_endpoint', deleted: true }])
    expect((await client.get(`/v1/webhook_endpoints/${id}`)).status).toBe(404)
    expect((await client.delete(`/v1/webhook_endpoints/${id}`)).status).toBe(404)
    const [row] = await runSql<{ secret: string }>(
      database.url,
      `SELECT secret FROM webhook_endpoints WHERE id = '${id}'`,
    )
    expect(row?.secret).toBe('')
  })

  it.each([
    [{}, 'url'],
    [{ url: 'ftp://x.example/' }, 'url'],
    [{ url: 'https://user:secret@x.example/' }, 'url'],
    [{ url: URL_OF, event_types: ['generation.queued'] }, 'event_types.0'],
    [{ url: URL_OF, secret: 'whsec_mine' }, 'secret'],
    [{ url: URL_OF, description: 'x'.repeat(501) }, 'description'],
    [{ url: URL_OF, payload: 'slim' }, 'payload'],
    [{ url: URL_OF, headers: { Host: 'x.example' } }, 'headers.Host'],
    [{ url: URL_OF, headers: { 'webhook-signature': 'v1,mine' } }, 'headers.webhook-signature'],
    [{ url: URL_OF, headers: { 'X-A': 'secret@\r\nX-B: 1' } }, 'headers.X-A'],
    [{ url: URL_OF, headers: { 'X-A': '映' } }, 'headers.X-A'],
    [{ url: URL_OF, headers: { 'X-A': '1', 'x-a': '2' } }, 'headers.x-a'],
    [{ url: URL_OF, headers: { 'x-a': '1', 'X-A': '2' } }, 'headers.X-A'],
    [{ url: URL_OF, headers: { 'X-A': null } }, 'headers.X-A'],
    [{ url: URL_OF, headers: { 'X-A': 1 } }, 'headers.X-A'],
    [{ url: URL_OF, headers: 'X-A: 1' }, 'headers'],
    [{ url: URL_OF, headers: Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`x-${n}`, '1'])) }, 'headers'],
  ])('is refused as %j: %s', async (body, field) => {
    const reply = await client.post('/v1/webhook_endpoints', body)
    expect(reply.status).toBe(422)
    expect(problemOf(reply).errors?.map((error) => error.field)).toEqual([field])
    expect(reply.text).not.toContain('secret@')
  })

  it('has headers of its own, of which only the names are ever shown; at rest their values are sealed', async () => {
    const url = 'https://gated.example/a'
    const made = await add({ url, payload: 'thin', headers: { Authorization: 'Bearer of-mine', 'X-Tenant': 'seven' } })
    expect(made).toMatchObject({ payload: 'thin', header_names: ['authorization', 'x-tenant'] })
    const change = (body: unknown) => client.patch(`/v1/webhook_endpoints/${made.id}`, body)
    const names = async (body: unknown) => endpointOf(await change(body)).header_names
    const stored = async () => {
      const sql = `SELECT headers, payload FROM webhook_endpoints WHERE id = '${made.id}'`
      const [row] = await runSql<{ headers: Record<string, string>; payload: string }>(database.url, sql)
      if (!row) throw new Error('no row')
      return row
    }
    const { headers, payload } = await stored()
    expect(payload).toBe('thin')
    expect(JSON.stringify(headers)).not.toContain('of-mine')
    expect(app.context.sealer.open(headers.authorization ?? '', headerPlace(made.id, 'authorization'))).toBe(
      'Bearer of-mine',
    )
    const shown =
      (await client.get('/v1/webhook_endpoints')).text + (await client.get(`/v1/webhook_endpoints/${made.id}`)).text
    expect(shown).not.toMatch(/of-mine|seven|v[12]\./)
    // Headers that are not named stay.
    expect(await names({ headers: { 'X-TENANT': null, 'x-new': '1' }, payload: 'full' })).toEqual([
      'authorization',
      'x-new',
    ])
    expect((await stored()).payload).toBe('full')
    expect(await names({ description: 'no word of headers' })).toEqual(['authorization', 'x-new'])
    // Together with the existing headers, more than ten.
    const many = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`x-${n}`, '1']))
    expect(problemOf(await change({ headers: many })).errors).toMatchObject([{ field: 'headers', rule: 'max_keys' }])
    // A caller who may change the URL must not be able to read the headers at another server.
    const elsewhere = problemOf(await change({ url: 'https://elsewhere.example/a' }))
    expect(elsewhere.errors).toMatchObject([{ field: 'headers', rule: 'headers_left_behind' }])
    expect(await names({ url: 'https://gated.example/b' })).toEqual(['authorization', 'x-new'])
    expect(await names({ url: 'https://elsewhere.example/a', headers: { 'x-fresh': '1' } })).toEqual(['x-fresh'])
    expect(await names({ url: 'https://third.example/a', headers: null })).toEqual([])
    await change({ headers: { 'x-last': '1' } })
    await client.delete(`/v1/webhook_endpoints/${made.id}`)
    expect((await stored()).headers).toEqual({})
  })

  it('has a URL that no other endpoint of the project has; there are fifty at the most', async () => {
    const by = await clientOfNewProject(app, 'many endpoints')
    const urls = Array.from({ length: 50 }, (_, n) => `https://hooks.example/${n}`)
    const [first] = await Promise.all(urls.slice(0, 49).map((url) => add({ url }, by)))
    const taken = await by.post('/v1/webhook_endpoints', { url: urls[0] })
    expect([taken.status, problemOf(taken).code]).toEqual([409, 'endpoint_exists'])
    const moved = await by.patch(`/v1/webhook_endpoints/${first?.id}`, { url: urls[1] })
    expect([moved.status, problemOf(moved).code]).toEqual([409, 'endpoint_exists'])
    await add({ url: urls[49] }, by)
    expect(problemOf(await by.post('/v1/webhook_endpoints', { url: 'https://hooks.example/50' })).code).toBe(
      'too_many_endpoints',
    )
    await by.delete(`/v1/webhook_endpoints/${first?.id}`)
    await add({ url: urls[0] }, by)
  })

  it('belongs to no other project', async () => {
    const { id } = await add()
    const other = await clientOfNewProject(app, 'others')
    expect((await other.get(`/v1/webhook_endpoints/${id}`)).status).toBe(404)
    expect((await other.patch(`/v1/webhook_endpoints/${id}`, { enabled: false })).status).toBe(404)
    expect((await other.post(`/v1/webhook_endpoints/${id}/rotate_secret`)).status).toBe(404)
    expect((await other.post(`/v1/webhook_endpoints/${id}/test`)).status).toBe(404)
  })

  it('gets another secret; the present one signs too for as long as was asked for', async () => {
    const { id, secret } = await add()
    const rotate = async (body?: unknown) =>
      endpointWithSecret
        .strict()
        .parse(JSON.parse((await client.post(`/v1/webhook_endpoints/${id}/rotate_secret`, body)).text))
    const rotated = await rotate({ overlap_seconds: 60 })
    expect(rotated.secret).not.toBe(secret)
    expect(Date.parse(rotated.previous_secret_until ?? '') - Date.now()).toBeLessThanOrEqual(60_000)
    const { id: deliveryId } = JSON.parse((await client.post(`/v1/webhook_endpoints/${id}/test`)).text) as {
      id: string
    }
    const claimed = await claimDelivery(app.database, deliveryId, 60_000)
    expect(claimed?.sealedSecrets.map((one) => app.context.sealer.open(one, secretPlace(id)))).toEqual([
      rotated.secret,
      secret,
    ])
    // Repeated, because the reply was lost: the secret known to receivers still signs.
    const again = await rotate({ overlap_seconds: 60 })
    const { id: nextId } = JSON.parse((await client.post(`/v1/webhook_endpoints/${id}/test`)).text) as { id: string }
    const next = await claimDelivery(app.database, nextId, 60_000)
    expect(next?.sealedSecrets.map((one) => app.context.sealer.open(one, secretPlace(id)))).toEqual([
      again.secret,
      rotated.secret,
      secret,
    ])
    // Without overlap, because the old secret has leaked.
    expect((await rotate({ overlap_seconds: 0 })).previous_secret_until).toBeNull()
    expect(Date.parse((await rotate()).previous_secret_until ?? '') - Date.now()).toBeGreaterThan(80_000_000)
    const tooLong = await client.post(`/v1/webhook_endpoints/${id}/rotate_secret`, { overlap_seconds: 700_000 })
    expect(problemOf(tooLong).errors?.[0]?.field).toBe('overlap_seconds')
  })
})

it('the project’s own secret is changed over in the same way', async () => {
  const by = await clientOfNewProject(app, 'leaked')
  const reply = await by.post('/v1/project/rotate_webhook_secret', { overlap_seconds: 60 })
  const { webhook_secret } = projectWithSecret.strict().parse(JSON.parse(reply.text))
  const { id } = JSON.parse((await by.post('/v1/generations', { ...MINIMAL, webhook_url: URL_OF })).text) as {
    id: string
  }
  await by.post(`/v1/generations/${id}/cancel`)
  const [delivery] = await deliveriesOf(`generation_id=${id}`, by)
  const claimed = await claimDelivery(app.database, delivery?.id ?? '', 60_000)
  const secrets = claimed?.sealedSecrets.map((one) => app.context.sealer.open(one, secretPlace(claimed.projectId)))
  expect(secrets).toEqual([webhook_secret, app.webhookSecret])
})

describe('what is delivered', () => {
  it('goes to each endpoint that asks for it, and none of it to one that is disabled', async () => {
    const by = await clientOfNewProject(app, 'several endpoints')
    const all = await add({ url: 'https://a.example/' }, by)
    const starts = await add({ url: 'https://b.example/', event_types: ['generation.processing'] }, by)
    const off = await add({ url: 'https://c.example/' }, by)
    await by.patch(`/v1/webhook_endpoints/${off.id}`, { enabled: false })
    const { id } = JSON.parse(
      (await by.post('/v1/generations', { ...MINIMAL, webhook_url: 'https://d.example/' })).text,
    ) as {
      id: string
    }
    await endGeneration(app.database, id, 'completed')
    const told = await deliveriesOf(`generation_id=${id}`, by)
    expect(told.map((one) => [one.event_type, one.endpoint_id, one.url]).sort()).toEqual([
      ['generation.completed', null, 'https://d.example/'],
      ['generation.completed', all.id, 'https://a.example/'],
      ['generation.processing', starts.id, 'https://b.example/'],
    ])
  })

  it('is filtered by state, endpoint, generation and batch, page by page', async () => {
    const by = await clientOfNewProject(app, 'filters')
    const endpoint = await add({ event_types: ['generation.cancelled'] }, by)
    const items = [MINIMAL, MINIMAL, MINIMAL]
    const { id: batchId } = JSON.parse(
      (await by.post('/v1/batches', { items, webhook_url: 'https://own.example/' })).text,
    ) as {
      id: string
    }
    await by.post(`/v1/batches/${batchId}/cancel`)
    // A cancelled batch only notes its events: their deliveries are created after the reply.
    await expect.poll(() => deliveriesOf(`endpoint_id=${endpoint.id}`, by), { timeout: 10_000 }).toHaveLength(3)
    const ofEndpoint = await deliveriesOf(`endpoint_id=${endpoint.id}`, by)
    const [first, second] = ofEndpoint
    await attempted(first?.id ?? '', { state: 'succeeded' })
    await attempted(second?.id ?? '', { state: 'failed' })
    const ids = async (query: string) => (await deliveriesOf(query, by)).map((one) => one.id)
    expect(await ids('state=succeeded')).toEqual([first?.id])
    expect(await ids('state=failed')).toEqual([second?.id])
    expect(await ids(`endpoint_id=${endpoint.id}&state=pending`)).toHaveLength(1)
    expect(await ids(`generation_id=${first?.generation_id}`)).toHaveLength(2)
    // The end of the batch itself, to the batch's own URL.
    expect(await ids(`batch_id=${batchId}`)).toHaveLength(1)
    const page = JSON.parse((await by.get('/v1/webhook_deliveries?limit=2')).text)
    expect(page.data).toHaveLength(2)
    expect(await ids(`cursor=${page.next_cursor}`)).toHaveLength(5)
    expect(problemOf(await by.get('/v1/webhook_deliveries?state=lost')).errors?.[0]?.field).toBe('state')
    expect(
      (await (await clientOfNewProject(app, 'no part in it')).get(`/v1/webhook_deliveries/${first?.id}`)).status,
    ).toBe(404)
  })

  it('is on record with every attempt, and delivered again from the first step with the same id', async () => {
    const by = await clientOfNewProject(app, 'again')
    const { id: endpointId } = await add({}, by)
    const test = await by.post(`/v1/webhook_endpoints/${endpointId}/test`)
    expect(test.status).toBe(202)
    const { id, event_id } = deliveryJson.strict().parse(JSON.parse(test.text))
    await attempted(id, { state: 'failed' })
    const read = async () => deliveryOf(await by.get(`/v1/webhook_deliveries/${id}`))
    expect(await read()).toMatchObject({
      state: 'failed',
      event_type: 'endpoint.test',
      attempts: 1,
      log: [
        {
          number: 1,
          http_status: 500,
          error_class: 'http_status',
          message: 'so it went',
          reply: 'ok',
          duration_ms: 12,
        },
      ],
    })
    const again = await by.post(`/v1/webhook_deliveries/${id}/redeliver`)
    expect([test.headers.location, again.headers.location]).toEqual(Array(2).fill(`/v1/webhook_deliveries/${id}`))
    expect(deliveryOf(again)).toMatchObject({ state: 'pending', event_id })
    const claimed = await claimDelivery(app.database, id, 60_000)
    expect(claimed).toMatchObject({ attempt: 2, scheduled: 1 })
    await by.patch(`/v1/webhook_endpoints/${endpointId}`, { enabled: false })
    expect((await read()).state).toBe('failed')
    expect(problemOf(await by.post(`/v1/webhook_deliveries/${id}/redeliver`)).code).toBe('endpoint_disabled')
    expect((await by.post(`/v1/webhook_deliveries/${newId('delivery')}/redeliver`)).status).toBe(404)
  })

  it('says why it waits: the schedule after a failed attempt, or a server that rests', async () => {
    const by = await clientOfNewProject(app, 'waiting')
    const { id: endpointId } = await add({}, by)
    const send = async () =>
      deliveryJson.parse(JSON.parse((await by.post(`/v1/webhook_endpoints/${endpointId}/test`)).text)).id
    const [tried, untried] = [await send(), await send()]
    expect((await deliveriesOf('', by)).map(({ held }) => held)).toEqual([null, null])
    await attempted(tried, { state: 'pending', retryMs: 60_000 })
    const [row] = await runSql(database.url, `SELECT project_id FROM deliveries WHERE id = '${untried}'`)
    await startCoolDown(app.database, `${row?.project_id} https://hooks.example`, 60_000)
    const until = expect.stringMatching(/Z$/)
    expect((await deliveriesOf('', by)).map(({ id, held }) => ({ id, held }))).toEqual([
      { id: untried, held: { reason: 'server_resting', until } },
      { id: tried, held: { reason: 'retry_scheduled', until } },
    ])
  })

  it('is delivered again all together: what failed of an endpoint since a time', async () => {
    const by = await clientOfNewProject(app, 'all again')
    const { id: endpointId } = await add({}, by)
    const ids: string[] = []
    for (let n = 0; n < 4; n++)
      ids.push((JSON.parse((await by.post(`/v1/webhook_endpoints/${endpointId}/test`)).text) as { id: string }).id)
    for (const id of ids.slice(0, 3)) await attempted(id, { state: 'failed' })
    await runSql(database.url, `UPDATE deliveries SET created_at = now() - interval '2 days' WHERE id = '${ids[0]}'`)
    const since = new Date(Date.now() - 60_000).toISOString()
    const reply = await by.post(`/v1/webhook_endpoints/${endpointId}/redeliver`, { since })
    expect([reply.status, JSON.parse(reply.text)]).toEqual([202, { redelivered: 2 }])
    expect((await deliveriesOf('state=failed', by)).map((one) => one.id)).toEqual([ids[0]])
    const wrong = await by.post(`/v1/webhook_endpoints/${endpointId}/redeliver`, { since: 'yesterday' })
    expect(problemOf(wrong).errors?.[0]?.field).toBe('since')
  })

  it('goes to the new URL when an endpoint moves, but never twice to one URL', async () => {
    const by = await clientOfNewProject(app, 'moving')
    const moving = await add({ url: 'https://old.example/' }, by)
    const own = { ...MINIMAL, webhook_url: 'https://new.example/' }
    const send = async (body: object) => JSON.parse((await by.post('/v1/generations', body)).text) as { id: string }
    const [plain, served] = [await send(MINIMAL), await send(own)]
    for (const { id } of [plain, served]) await endGeneration(app.database, id, 'failed')
    await by.patch(`/v1/webhook_endpoints/${moving.id}`, { url: 'https://new.example/' })
    expect((await deliveriesOf(`generation_id=${plain.id}`, by)).map((one) => one.url)).toEqual([
      'https://new.example/',
    ])
    expect((await deliveriesOf(`generation_id=${served.id}`, by)).map((one) => one.url).sort()).toEqual([
      'https://new.example/',
      'https://old.example/',
    ])
  })
})
