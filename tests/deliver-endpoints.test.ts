import { redeliverFailed } from '@reelqueue/shared/store/delivery-log'
import { changeEndpoint, rotateSecret, testEndpoint } from '@reelqueue/shared/store/endpoints'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import { describe, expect, it } from 'vitest'
import { startDelivering } from './support/delivering.ts'
import { endpoint } from './support/webhook-endpoint.ts'

const { seed, sealer, projectSecret, attempt, addEndpoint, owed, read } = await startDelivering()

describe('what is sent', () => {
  it('is verified by both official libraries, under the old secret and the new one while they are rotated, and under no other', async () => {
    const server = await endpoint()
    const made = await addEndpoint(server.url)
    const { id, secret } = made
    const next = newWebhookSecret()
    await rotateSecret(seed.database, id, sealer.seal(next), 60_000)
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
    const [id = ''] = await owed(server.url)
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

describe('an endpoint', () => {
  it('that answers 410 is disabled with all that was still to come, and the other endpoints are told', async () => {
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
    // Days without traffic, and then one failure: none of many.
    await attempt(await testEndpoint(seed.database, made))
    expect((await state()).disabledAt).toBeNull()
    await seed.sql(`UPDATE deliveries SET pending_since = now() - interval '2 days' WHERE endpoint_id = $1`, [made.id])
    await attempt(await testEndpoint(seed.database, made))
    expect(await state()).toMatchObject({ disabledReason: 'failing', disabledAt: expect.any(Date) })
    // Enabled again, it has its five days anew.
    expect(await changeEndpoint(seed.database, made.id, { enabled: true })).toMatchObject({
      kind: 'changed',
      endpoint: {
        disabledAt: null,
        failingSince: null,
      },
    })
  })

  it('that moved while an attempt was under way is not judged by what its old server answered', async () => {
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

  it('that moved gets at its new URL what is delivered anew, and what was being made for the old one', async () => {
    const server = await endpoint()
    const made = await addEndpoint('http://127.0.0.1:1/old')
    const [failed, straggler] = [await testEndpoint(seed.database, made), await testEndpoint(seed.database, made)]
    await seed.sql(
      `UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, due_at = NULL, finished_at = now() WHERE id = $1`,
      [failed],
    )
    await changeEndpoint(seed.database, made.id, { url: server.url })
    // As a move that had read the endpoint before leaves it.
    await seed.sql('UPDATE deliveries SET url = $2 WHERE id = $1', [straggler, made.url])
    const endpointOf = { id: made.id, projectId: seed.projectId }
    expect(await redeliverFailed(seed.database, endpointOf, new Date(Date.now() - 60_000))).toBe(1)
    // At once, and not by the attempt: it must not wait for an old server that rests.
    expect((await read(failed)).url).toBe(server.url)
    for (const id of [failed, straggler]) await attempt(id)
    expect(server.seen.requests.length).toBe(2)
    expect((await read(straggler)).url).toBe(server.url)
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
    // Before there is an endpoint that would hear of it too.
    const [own = ''] = await owed(`${server.url}&own`)
    const made = await addEndpoint(server.url)
    const stragglers: string[] = []
    for (let n = 0; n < 3; n++) stragglers.push(await testEndpoint(seed.database, made))
    await seed.sql('UPDATE webhook_endpoints SET disabled_at = now() WHERE id = $1', [made.id])
    await attempt(stragglers[1] ?? '')
    for (const id of stragglers) expect(await read(id)).toMatchObject({ state: 'failed', attempts: 0 })
    expect((await read(own)).state).toBe('succeeded')
    expect(await redeliverFailed(seed.database, { id: made.id, projectId: seed.projectId }, new Date(0))).toBe(0)
  })

  it('that was disabled while a delivery was made for it gets nothing', async () => {
    const server = await endpoint()
    const made = await addEndpoint(server.url)
    const id = await testEndpoint(seed.database, made)
    await seed.sql('UPDATE webhook_endpoints SET disabled_at = now() WHERE id = $1', [made.id])
    await attempt(id)
    expect(server.seen.requests).toHaveLength(0)
    expect((await read(id)).state).toBe('failed')
  })
})
