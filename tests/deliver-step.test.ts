// Delivering by plain calls, against a real Postgres and real servers that stand where a customer's stands.

import { setTimeout as delay } from 'node:timers/promises'
import { findDelivery, redeliver, redeliverFailed } from '@reelqueue/shared/store/delivery-log'
import { changeEndpoint, createEndpoint, rotateSecret, testEndpoint } from '@reelqueue/shared/store/endpoints'
import { Prisma } from '@reelqueue/shared/store/generated/client'
import { overdueWork } from '@reelqueue/shared/store/health'
import { moveGenerations } from '@reelqueue/shared/store/moves'
import { claimOverdueDeliveries } from '@reelqueue/shared/store/overdue'
import { createGuardedClient } from '@reelqueue/shared/webhooks/guarded-client'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import { type DeliverDeps, deliver } from '@reelqueue/worker/steps/deliver'
import { createTargets } from '@reelqueue/worker/targets'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { Webhook as SvixWebhook } from 'svix'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { claimDelivery, recordAttempt } from './support/deliveries.ts'
import { startHouse } from './support/house.ts'
import { seedDatabase } from './support/seed.ts'
import { stepDeps } from './support/step-deps.ts'
import { closedPort, closeEndpoints, endpoint } from './support/webhook-endpoint.ts'

const seed = await seedDatabase()
const house = await startHouse({ databaseUrl: seed.url })
const { sealer } = house.house
const webhooks = createGuardedClient({ allowedNetworks: ['127.0.0.0/8'], timeoutMs: 1_000 })
const running = new AbortController()
let deps: DeliverDeps
const projectSecret = newWebhookSecret()
await seed.sql('UPDATE projects SET webhook_secret = $1', [sealer.seal(projectSecret)])

beforeEach(async () => {
  deps = { ...stepDeps(house), webhooks, targets: createTargets() }
  await seed.sql(
    `UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, due_at = NULL, finished_at = now() WHERE state = 'pending'`,
  )
  await seed.sql(`UPDATE webhook_endpoints SET disabled_at = now(), deleted_at = now()`)
})
afterEach(closeEndpoints)
afterAll(async () => {
  await webhooks.close()
  await house.close()
  await seed.close()
})

const attempt = (id: string) => deliver(deps, id, running.signal)

async function addEndpoint(url: string, eventTypes: readonly string[] = []) {
  const secret = newWebhookSecret()
  const row = { projectId: seed.projectId, url, description: null, eventTypes, sealedSecret: sealer.seal(secret) }
  const made = await createEndpoint(seed.database, row)
  if (made.kind !== 'created') throw new Error(made.kind)
  return { ...made.endpoint, secret }
}

/** Cancels generations that ask for a webhook to `url`. @returns the deliveries owed for it */
async function owed(url: string, count = 1): Promise<string[]> {
  const ids: string[] = []
  for (let n = 0; n < count; n++) ids.push(await seed.queued({ webhookUrl: url }))
  await moveGenerations(seed.database.prisma, ids, 'cancel', { set: Prisma.sql`due_at = NULL` })
  // The move itself tells of a few only.
  const where = { url, event: { generationId: { in: ids } } }
  const made = await seed.database.prisma.delivery.findMany({ where, select: { id: true }, orderBy: { id: 'asc' } })
  return made.map((one) => one.id)
}

async function read(id: string) {
  const row = await findDelivery(seed.database, seed.projectId, id)
  if (!row) throw new Error(`no delivery ${id}`)
  return row
}

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

describe('a server', () => {
  it('gets ten at a time; a few jobs are enough for all that is due for it', async () => {
    let underWay = 0
    let most = 0
    const server = await endpoint(async (response) => {
      most = Math.max(most, ++underWay)
      // Not quickly: a server that does so gets more at a time.
      await delay(300)
      underWay--
      response.end()
    })
    const ids = await owed(server.url, 40)
    await Promise.all(ids.slice(0, 12).map(attempt))
    expect(server.seen.requests).toHaveLength(40)
    expect(most).toBeLessThanOrEqual(10)
    expect(await claimOverdueDeliveries(seed.database, 100)).toEqual([])
  })

  it('is looked at once more for what came while it was busy, and whose job was sent away', async () => {
    const server = await endpoint()
    const [first = ''] = await owed(server.url)
    await claimDelivery(seed.database, first, 60_000)
    const { batches, targets } = deps
    const target = `${seed.projectId} ${new URL(server.url).origin}`
    let late = ''
    const claim: typeof batches.claim = async (wanted) => {
      const claimed = await batches.claim(wanted)
      if (late !== '') return claimed
      // Just after this look nine others are at work, and a job comes for a new one.
      late = (await owed(server.url))[0] ?? ''
      for (let n = 0; n < 9; n++) targets.enter(target)
      expect(targets.enter(target)).toEqual({ kind: 'busy' })
      return claimed
    }
    await deliver({ ...deps, batches: { ...batches, claim } }, first, running.signal)
    expect((await read(late)).state).toBe('succeeded')
  })

  it('that does not answer rests, with all that is due for it and without an attempt; others get theirs', async () => {
    const dead = `http://127.0.0.1:${await closedPort()}/`
    const live = await endpoint()
    const ids = await owed(dead, 8)
    await attempt(ids[0] ?? '')
    const rows = (await Promise.all(ids.map(read))).sort((one, other) => other.attempts - one.attempts)
    expect(rows.map((row) => row.attempts)).toEqual([1, 1, 1, 1, 1, 0, 0, 0])
    for (const row of rows.slice(5)) {
      const waitsMs = (row.nextAttemptAt?.getTime() ?? 0) - Date.now()
      expect(waitsMs).toBeGreaterThan(25_000)
      expect(waitsMs).toBeLessThan(61_000)
      expect(row.dueAt).toEqual(row.nextAttemptAt)
    }
    // One that is made meanwhile waits too.
    const [late = ''] = await owed(dead)
    await attempt(late)
    expect(await read(late)).toMatchObject({ state: 'pending', attempts: 0 })
    const [id = ''] = await owed(live.url)
    await attempt(id)
    expect((await read(id)).state).toBe('succeeded')
  })

  it('that has not answered for five days is given up, delivery by delivery', async () => {
    const dead = `http://127.0.0.1:${await closedPort()}/`
    const ids = await owed(dead, 6)
    const [old = '', ...others] = ids
    await seed.sql(
      `UPDATE deliveries SET pending_since = now() - interval '6 days', next_attempt_at = now() WHERE id = $1`,
      [old],
    )
    await attempt(others[0] ?? '')
    expect(await read(old)).toMatchObject({ state: 'failed', nextAttemptAt: null, finishedAt: expect.any(Date) })
  })
})

it('one job is enough for all that is due for a server that answers', async () => {
  const server = await endpoint()
  const [first = ''] = await owed(server.url, 30)
  await attempt(first)
  expect(server.seen.requests).toHaveLength(30)
})

it('delivering anew outlives the attempt that was under way, whatever came of it', async () => {
  const ids = await owed('http://127.0.0.1:1/', 2)
  for (const [n, id] of ids.entries()) {
    await seed.sql('UPDATE deliveries SET attempts = 9 WHERE id = $1', [id])
    const last = await claimDelivery(seed.database, id, 60_000)
    await redeliver(seed.database, id)
    const failed = {
      deliveryId: id,
      attempt: last?.attempt ?? 0,
      httpStatus: 500,
      errorClass: 'http_status',
      message: '',
      replySnippet: null,
      durationMs: 1,
    }
    // Before the new attempt has begun, and after it.
    const next = n === 1 ? await claimDelivery(seed.database, id, 60_000) : null
    await recordAttempt(seed.database, failed, { state: 'failed' })
    expect(await read(id)).toMatchObject({ state: 'pending', attempts: next?.attempt ?? 10 })
  }
})

it('a delivery that is made anew begins at the first step of the schedule', async () => {
  const server = await endpoint((response) => response.writeHead(500).end())
  const [id = ''] = await owed(server.url)
  await seed.sql('UPDATE deliveries SET attempts = 9 WHERE id = $1', [id])
  await attempt(id)
  expect(await read(id)).toMatchObject({ state: 'failed', attempts: 10 })
  await seed.sql(`UPDATE deliveries SET pending_since = now() - interval '6 days' WHERE id = $1`, [id])
  await redeliver(seed.database, id)
  // A server that does not answer has five days for it again.
  expect((await read(id)).pendingSince.getTime()).toBeGreaterThan(Date.now() - 60_000)
  await attempt(id)
  const row = await read(id)
  expect(row).toMatchObject({ state: 'pending', attempts: 11 })
  expect((row.nextAttemptAt?.getTime() ?? 0) - Date.now()).toBeLessThan(6_100)
})

it('readiness tells deliveries that nobody attempts from those that wait for others', async () => {
  const ids = await owed('http://queue.example/', 3)
  await seed.sql(`UPDATE deliveries SET due_at = now() - interval '1 hour' WHERE id = ANY ($1)`, [ids])
  await seed.sql('DELETE FROM delivery_attempts')
  expect((await overdueWork(seed.database, 60_000)).count).toBe(3)
  const live = await endpoint()
  await attempt((await owed(live.url))[0] ?? '')
  expect((await overdueWork(seed.database, 60_000)).count).toBe(0)
})

it('reconcile wakes a few of each server, however many are due for one', async () => {
  const many = await owed('http://a.example/', 50)
  const few = await owed('http://b.example/', 2)
  const woken = (await claimOverdueDeliveries(seed.database, 500)).map((one) => one.id)
  expect(woken.filter((id) => many.includes(id))).toHaveLength(20)
  expect(woken.filter((id) => few.includes(id))).toHaveLength(2)
  expect(await claimOverdueDeliveries(seed.database, 500)).toHaveLength(20)
})
