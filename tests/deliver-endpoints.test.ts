import { newId } from '@reelqueue/contract/terms/ids'
import { toDeliveryJson } from '@reelqueue/contract/wire/webhook-delivery'
import { headerPlace, secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { findCoolDowns } from '@reelqueue/shared/store/deliveries/cool-downs'
import { testEndpoint } from '@reelqueue/shared/store/deliveries/endpoint-events'
import { changeEndpoint, rotateSecret } from '@reelqueue/shared/store/deliveries/endpoints'
import { redeliver, redeliverFailed } from '@reelqueue/shared/store/deliveries/redelivery'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import { reconcile } from '@reelqueue/worker/steps/reconcile'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import { describe, expect, it } from 'vitest'
import { startDelivering } from './support/delivering.ts'
import { closedPort, endpoint } from './support/webhook-endpoint.ts'

const { seed, deps, sealer, projectSecret, attempt, addEndpoint, pending, read } = await startDelivering()

describe('what is sent', () => {
  it('is verified by both official libraries, under the old secret and the new one while they are rotated, and under no other', async () => {
    const server = await endpoint()
    const made = await addEndpoint(server.url)
    const { id, secret } = made
    const next = newWebhookSecret()
    await rotateSecret(seed.database, id, sealer.seal(next, secretPlace(id)), 60_000)
    await attempt(await testEndpoint(seed.database, made))
    const [request] = server.seen.requests
    const { body = '', headers } = request ?? {}
    const signed = headers as Record<string, string>
    for (const Webhook of [StandardWebhook, SvixWebhook]) {
      for (const known of [secret, next])
        expect(new Webhook(known).verify(body, signed)).toMatchObject({
          type: 'endpoint.test',
          sequence: 1,
          data: { endpoint_id: id },
        })
      expect(() => new Webhook(newWebhookSecret()).verify(body, signed)).toThrow()
      expect(() => new Webhook(secret).verify(`${body} `, signed)).toThrow()
    }
    await seed.sql(
      `UPDATE webhook_endpoints SET previous_secrets = jsonb_set(previous_secrets, '{0,until}', '"2026-01-01T00:00:00Z"') WHERE id = $1`,
      [id],
    )
    await attempt(await testEndpoint(seed.database, made))
    const later = server.seen.requests[1]
    expect(() => new SvixWebhook(secret).verify(later?.body ?? '', later?.headers as Record<string, string>)).toThrow()
  })

  it('is signed with the project’s secret where the URL came with the request', async () => {
    const server = await endpoint()
    const [id = ''] = await pending(server.url)
    await attempt(id)
    const [request] = server.seen.requests
    const headers = request?.headers as Record<string, string>
    expect(new SvixWebhook(projectSecret).verify(request?.body ?? '', headers)).toMatchObject({
      type: 'generation.cancelled',
      sequence: 2,
    })
    expect((await read(id)).state).toBe('succeeded')
  })
})

describe('the form of a body', () => {
  it('is thin where the endpoint asks for it, signed as it is, and the same whenever it is sent, whatever has changed since', async () => {
    const server = await endpoint()
    const [thin, full] = ['thin', 'full'] as const
    const made = await addEndpoint(server.url, [], { payload: thin })
    const { secret } = made
    await addEndpoint(`${server.url}&full`)
    const [own = ''] = await pending(`${server.url}&own`)
    const { eventId } = await read(own)
    const { data } = await seed.database.prisma.event.findUniqueOrThrow({ where: { id: eventId } })
    expect(data).toMatchObject({ priority: 0 })
    const all = await seed.database.prisma.delivery.findMany({ where: { eventId }, orderBy: { url: 'asc' } })
    expect(all.map((one) => [one.url.replace(server.url, ''), one.payload])).toEqual([
      ['', thin],
      ['&full', full],
      ['&own', full],
    ])
    for (const { id } of all) await attempt(id)
    const before = server.seen.requests.splice(0)
    const bodyTo = (suffix: string) => before.find((one) => one.url.endsWith(`a=b${suffix}`))
    const signed = bodyTo('')?.headers as Record<string, string>
    expect(new StandardWebhook(secret).verify(bodyTo('')?.body ?? '', signed)).toMatchObject({
      id: eventId,
      type: 'generation.cancelled',
      payload: 'thin',
      payload_reason: 'requested',
      data: { status: 'cancelled', href: expect.stringMatching(/^\/v1\/generations\/gen_/) },
    })
    expect(bodyTo('')?.body).not.toContain('prompt')
    expect(JSON.parse(bodyTo('&own')?.body ?? '')).toMatchObject({ data: { prompt: expect.any(String), priority: 0 } })
    await changeEndpoint(seed.database, made.id, { payload: full })
    await seed.sql(
      `UPDATE generations SET priority = 7, cancel_requested_at = now() WHERE id = (SELECT generation_id FROM events WHERE id = $1)`,
      [eventId],
    )
    for (const { id } of all) {
      await redeliver(seed.database, id)
      await attempt(id)
    }
    const bodies = (requests: typeof before) => requests.map((one) => [one.url, one.body]).sort()
    expect(bodies(server.seen.requests)).toEqual(bodies(before))
    const next = await testEndpoint(seed.database, made)
    expect((await read(next)).payload).toBe('full')
  })

  it('is thin, and says so, where a full one would be longer than servers take: to the URL of a request too', async () => {
    const server = await endpoint((response) => response.end())
    const [id = ''] = await pending(server.url)
    await seed.sql(
      `UPDATE generations SET prompt = repeat('映', 32000), metadata = jsonb_build_object('notes', repeat('画', 5000))
      WHERE id = (SELECT generation_id FROM events JOIN deliveries ON deliveries.event_id = events.id WHERE deliveries.id = $1)`,
      [id],
    )
    await attempt(id)
    const [{ body = '', headers } = {}] = server.seen.requests
    expect(Buffer.byteLength(body)).toBeLessThan(1_000)
    expect(new SvixWebhook(projectSecret).verify(body, headers as Record<string, string>)).toMatchObject({
      payload: 'thin',
      payload_reason: 'too_large',
      data: { status: 'cancelled' },
    })
  })
})

describe('headers of its own', () => {
  const sealed = (headers: Readonly<Record<string, string>>) => {
    const id = newId('endpoint')
    const values = Object.entries(headers).map(([name, value]) => [name, sealer.seal(value, headerPlace(id, name))])
    return { id, sealedHeaders: Object.fromEntries(values) }
  }

  it('reach the server of the endpoint, beside ours, and are not in the log though it answers with them', async () => {
    const server = await endpoint((response) => response.writeHead(500).end('you sent Bearer of-mine, Café'))
    const own = {
      authorization: 'Bearer of-mine',
      'x-place': 'Café',
      'user-agent': 'theirs',
      'content-type': 'text/evil',
    }
    const made = await addEndpoint(server.url, [], sealed(own))
    const id = await testEndpoint(seed.database, made)
    await attempt(id)
    const { headers } = server.seen.requests[0] ?? {}
    expect(headers).toMatchObject({
      authorization: 'Bearer of-mine',
      'x-place': 'Café',
      'user-agent': 'Reelqueue',
      'content-type': 'application/json',
    })
    expect((await read(id)).log[0]?.replySnippet).toBe('you sent [hidden], [hidden]')
  })

  it('are sent to no other origin: not after a redirect, nor with a delivery for the URL before', async () => {
    const other = await endpoint()
    const server = await endpoint((response) => response.writeHead(307, { location: other.url }).end())
    const made = await addEndpoint(server.url, [], sealed({ authorization: 'Bearer of-mine' }))
    await attempt(await testEndpoint(seed.database, made))
    expect([server.seen.requests.length, other.seen.requests.length]).toEqual([1, 0])
    // An event goes to a URL only once: this delivery stays at the endpoint's earlier URL.
    const id = await testEndpoint(seed.database, made)
    await seed.sql(
      `INSERT INTO deliveries (id, project_id, event_id, url, next_attempt_at, due_at)
      SELECT new_id('dlv'), project_id, event_id, $2, now(), now() FROM deliveries WHERE id = $1`,
      [id, `${server.url}&new`],
    )
    await seed.sql('UPDATE webhook_endpoints SET url = $2 WHERE id = $1', [made.id, `${server.url}&new`])
    await seed.sql('UPDATE deliveries SET url = $2 WHERE id = $1', [id, other.url])
    await attempt(id)
    expect(other.seen.requests.map(({ headers }) => headers.authorization)).toEqual([undefined])
  })

  it('that cannot be opened send nothing, and the endpoint is not to blame', async () => {
    const server = await endpoint()
    const made = await addEndpoint(server.url, [], { sealedHeaders: { authorization: 'sealed otherwise' } })
    const id = await testEndpoint(seed.database, made)
    await attempt(id)
    expect(await read(id)).toMatchObject({ state: 'pending', log: [{ errorClass: 'internal' }] })
    expect(server.seen.requests).toHaveLength(0)
  })
})

describe('an endpoint', () => {
  it('that answers 410 is disabled with its pending deliveries, and the other endpoints receive the event', async () => {
    const gone = await endpoint((response) => response.writeHead(410).end())
    const other = await endpoint()
    const { id } = await addEndpoint(gone.url)
    const told = await addEndpoint(other.url)
    const first = await testEndpoint(seed.database, { ...told, id, url: gone.url })
    const second = await testEndpoint(seed.database, { ...told, id, url: gone.url })
    await attempt(first)
    expect(await seed.database.prisma.webhookEndpoint.findUniqueOrThrow({ where: { id } })).toMatchObject({
      disabledReason: 'gone',
    })
    expect(await read(second)).toMatchObject({ state: 'failed', attempts: 0 })
    const [news, ...more] = await seed.database.prisma.delivery.findMany({
      where: { event: { type: 'endpoint.disabled', endpointId: id } },
    })
    expect(more).toEqual([])
    expect(news?.endpointId).toBe(told.id)
    await attempt(news?.id ?? '')
    expect(JSON.parse(other.seen.requests[0]?.body ?? '')).toMatchObject({
      type: 'endpoint.disabled',
      data: { endpoint_id: id, url: gone.url, reason: 'gone' },
    })
  })

  it('that does nothing but fail for five days is disabled; one success in between, and it is not', async () => {
    let status = 500
    const server = await endpoint((response) => response.writeHead(status).end())
    const made = await addEndpoint(server.url)
    const state = () => seed.database.prisma.webhookEndpoint.findUniqueOrThrow({ where: { id: made.id } })
    const failForDays = (days: number) =>
      seed.sql(`UPDATE webhook_endpoints SET failing_since = now() - $2 * interval '1 day' WHERE id = $1`, [
        made.id,
        days,
      ])
    await attempt(await testEndpoint(seed.database, made))
    expect(await state()).toMatchObject({ failingSince: expect.any(Date), disabledAt: null })
    await failForDays(4.9)
    await attempt(await testEndpoint(seed.database, made))
    expect((await state()).disabledAt).toBeNull()
    status = 204
    await failForDays(6)
    await attempt(await testEndpoint(seed.database, made))
    expect(await state()).toMatchObject({ failingSince: null, disabledAt: null })
    status = 500
    await failForDays(5.1)
    // One failure after days without traffic is not enough to disable.
    await attempt(await testEndpoint(seed.database, made))
    expect((await state()).disabledAt).toBeNull()
    await seed.sql(`UPDATE deliveries SET pending_since = now() - interval '2 days' WHERE endpoint_id = $1`, [made.id])
    await attempt(await testEndpoint(seed.database, made))
    expect(await state()).toMatchObject({ disabledReason: 'failing', disabledAt: expect.any(Date) })
    // After enabling, the five days start again.
    expect(await changeEndpoint(seed.database, made.id, { enabled: true })).toMatchObject({
      kind: 'changed',
      endpoint: {
        disabledAt: null,
        failingSince: null,
      },
    })
  })

  it('that moved while an attempt was under way does not fail by the answer of its old server', async () => {
    let move: () => Promise<unknown> = async () => undefined
    const old = await endpoint(async (response) => {
      await move()
      response.writeHead(410).end()
    })
    const made = await addEndpoint(old.url)
    const id = await testEndpoint(seed.database, made)
    move = () => changeEndpoint(seed.database, made.id, { url: 'http://127.0.0.1:1/new' })
    await attempt(id)
    expect(await seed.database.prisma.webhookEndpoint.findUniqueOrThrow({ where: { id: made.id } })).toMatchObject({
      disabledAt: null,
      failingSince: null,
    })
  })

  it('that moved receives redeliveries and pending deliveries at its new URL', async () => {
    const server = await endpoint()
    const made = await addEndpoint('http://127.0.0.1:1/old')
    const [failed, straggler] = [await testEndpoint(seed.database, made), await testEndpoint(seed.database, made)]
    await seed.sql(
      `UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, due_at = NULL, finished_at = now() WHERE id = $1`,
      [failed],
    )
    await changeEndpoint(seed.database, made.id, { url: server.url })
    // A delivery written by a move that read the endpoint before the change.
    await seed.sql('UPDATE deliveries SET url = $2 WHERE id = $1', [straggler, made.url])
    const endpointOf = { id: made.id, projectId: seed.projectId }
    expect(await redeliverFailed(seed.database, endpointOf, new Date(Date.now() - 60_000))).toBe(1)
    // Redelivery sets the URL at once, not at the attempt: the delivery must not wait for the cool-down of the old
    // server.
    expect((await read(failed)).url).toBe(server.url)
    for (const id of [failed, straggler]) await attempt(id)
    expect(server.seen.requests.length).toBe(2)
    expect((await read(straggler)).url).toBe(server.url)
  })

  it('that moved away from a server that rests gets all that was waiting, though none of it was written to', async () => {
    const old = `http://127.0.0.1:${await closedPort()}/old`
    const made = await addEndpoint(old)
    const ids: string[] = []
    for (let n = 0; n < 12; n++) ids.push(await testEndpoint(seed.database, made))
    const [first = ''] = ids
    await attempt(first)
    const origin = (await read(first)).origin
    expect(await findCoolDowns(seed.database, [origin])).toHaveProperty('size', 1)
    const server = await endpoint()
    await changeEndpoint(seed.database, made.id, { url: server.url })
    expect(await seed.database.prisma.delivery.count({ where: { endpointId: made.id, url: old } })).toBe(12)
    expect((await read(first)).url).toBe(server.url)
    await seed.sql(`UPDATE deliveries SET next_attempt_at = now() WHERE state = 'pending'`)
    await attempt(first)
    expect(server.seen.requests).toHaveLength(12)
    for (const row of await Promise.all(ids.map(read)))
      expect(row).toMatchObject({ state: 'succeeded', url: server.url })
  })

  it('that a worker of ours cannot sign for is not to blame', async () => {
    const server = await endpoint()
    const made = await addEndpoint(server.url)
    const id = await testEndpoint(seed.database, made)
    await seed.sql(`UPDATE webhook_endpoints SET secret = 'sealed otherwise' WHERE id = $1`, [made.id])
    await attempt(id)
    expect(await read(id)).toMatchObject({ state: 'pending', attempts: 1, log: [{ errorClass: 'internal' }] })
    expect(await seed.database.prisma.webhookEndpoint.findUniqueOrThrow({ where: { id: made.id } })).toMatchObject({
      failingSince: null,
    })
    expect(server.seen.requests).toHaveLength(0)
  })

  it('that was disabled with much to come leaves nothing of it pending, nor in the way of others on its server', async () => {
    const server = await endpoint()
    // Created before the endpoint, so the endpoint does not get the event.
    const [own = ''] = await pending(`${server.url}&own`)
    const made = await addEndpoint(server.url)
    const stragglers: string[] = []
    for (let n = 0; n < 3; n++) stragglers.push(await testEndpoint(seed.database, made))
    await seed.sql('UPDATE webhook_endpoints SET disabled_at = now() WHERE id = $1', [made.id])
    await attempt(stragglers[1] ?? '')
    for (const id of stragglers) expect(await read(id)).toMatchObject({ state: 'failed', attempts: 0 })
    expect((await read(own)).state).toBe('succeeded')
    expect(await redeliverFailed(seed.database, { id: made.id, projectId: seed.projectId }, new Date(0))).toBe(0)
  })

  it('that is disabled with more pending deliveries than fit into a page is finished by reconcile, also after a crash', async () => {
    const made = await addEndpoint('http://127.0.0.1:1/hook')
    const [{ event_id: eventId } = { event_id: '' }] = await seed.sql<{ event_id: string }>(
      'SELECT event_id FROM deliveries WHERE id = $1',
      [await testEndpoint(seed.database, made)],
    )
    // Not due, so not enqueued.
    await seed.sql(
      `INSERT INTO deliveries (id, project_id, event_id, endpoint_id, url, next_attempt_at, due_at)
      SELECT new_id('dlv'), $1, $2, $3, 'http://127.0.0.1:1/' || n, now() + interval '1 hour', now() + interval '1 hour'
      FROM generate_series(1, 12000) n`,
      [seed.projectId, eventId, made.id],
    )
    const pending = () => seed.database.prisma.delivery.count({ where: { endpointId: made.id, state: 'pending' } })
    await changeEndpoint(seed.database, made.id, { enabled: false })
    expect(await pending()).toBe(7_001)
    await reconcile(deps())
    expect(await pending()).toBe(0)
  })

  it('that was disabled while a delivery was made for it gets nothing', async () => {
    const server = await endpoint()
    const made = await addEndpoint(server.url)
    const id = await testEndpoint(seed.database, made)
    await seed.sql('UPDATE webhook_endpoints SET disabled_at = now() WHERE id = $1', [made.id])
    expect(toDeliveryJson(await read(id)).held).toEqual({ reason: 'endpoint_disabled', until: null })
    await attempt(id)
    expect(server.seen.requests).toHaveLength(0)
    expect(toDeliveryJson(await read(id)).held).toBeNull()
    expect((await read(id)).state).toBe('failed')
  })
})
