// Deliveries on a real Postgres: a claim is a lease, and every attempt is on record.

import { newId } from '@reelqueue/contract/terms/ids'
import { generationAtEvent } from '@reelqueue/contract/wire/generation'
import type { AttemptRecord, DeliveryDecision } from '@reelqueue/shared/store/deliveries/attempts'
import { Prisma } from '@reelqueue/shared/store/generated/client'
import { moveGenerations } from '@reelqueue/shared/store/lifecycle/moves'
import { claimOverdueDeliveries } from '@reelqueue/shared/store/lifecycle/overdue'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { claimDelivery, recordAttempt } from './support/deliveries.ts'
import { type Seed, seedDatabase } from './support/seed.ts'

const LEASE_MS = 45_000
const RETRY: DeliveryDecision = { state: 'pending', retryMs: 5_000 }

let seed: Seed
beforeEach(async () => {
  seed = await seedDatabase()
})
afterEach(() => seed.close())

const claim = (id: string) => claimDelivery(seed.database, id, LEASE_MS)
const overdue = (limit = 10) => claimOverdueDeliveries(seed.database, limit)
const delivery = (id: string) => seed.database.prisma.delivery.findUniqueOrThrow({ where: { id } })
const attempts = (deliveryId: string) =>
  seed.database.prisma.deliveryAttempt.findMany({ where: { deliveryId }, orderBy: { number: 'asc' } })

/** A pending delivery of a cancelled generation. */
async function pending(): Promise<string> {
  const id = await seed.queued({ webhookUrl: 'https://example.com/hook' })
  const [moved] = await moveGenerations(seed.database.prisma, [id], 'cancel', { set: Prisma.sql`due_at = NULL` })
  return moved?.deliveryIds[0] ?? ''
}

async function letTimePass(id: string): Promise<void> {
  await seed.sql(
    `UPDATE deliveries SET next_attempt_at = now() - interval '1 ms', due_at = now() - interval '1 ms' WHERE id = $1`,
    [id],
  )
}

function attempt(deliveryId: string, number: number, rest: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    deliveryId,
    attempt: number,
    httpStatus: 500,
    errorClass: 'http_status',
    message: 'HTTP 500',
    replySnippet: null,
    durationMs: 1.5,
    ...rest,
  }
}

describe('a claim', () => {
  it('goes to one of any number of workers at the same instant', async () => {
    const id = await pending()
    const claims = await Promise.all([1, 2, 3].map(() => claim(id)))
    expect(claims.flatMap((one) => one?.attempt ?? [])).toEqual([1])
    expect(await claim(id)).toBeNull()
  })

  it('carries everything that one attempt needs', async () => {
    const id = await pending()
    expect(await claim(id)).toMatchObject({
      id,
      url: 'https://example.com/hook',
      attempt: 1,
      sealedSecrets: ['sealed'],
      event: { type: 'generation.cancelled', sequence: 2 },
    })
  })

  it('carries the fields that are in no event, as the row has them', async () => {
    const id = await pending()
    const { event } = await seed.database.prisma.delivery.findUniqueOrThrow({
      where: { id },
      include: { event: { include: { generation: true } } },
    })
    const fields = {
      inputReference: ['https://example.com/a.png'],
      metadata: { sku: 'ä "1"', nothing: null },
      seconds: 8,
    }
    const times = {
      createdAt: new Date('2026-01-02T03:04:05.120Z'),
      cancelRequestedAt: new Date('2026-01-02T03:04:06Z'),
    }
    const where = { id: event.generationId ?? '' }
    for (const data of [{}, { ...fields, ...times }]) {
      const row = await seed.database.prisma.generation.update({ where, data })
      await letTimePass(id)
      const { generation } = (await claim(id)) ?? {}
      // A field missing here would be missing in the webhook.
      expect(generation && generationAtEvent(generation, event.data)).toStrictEqual(generationAtEvent(row, event.data))
    }
  })

  it('is signed under the endpoint’s own secret when there is an endpoint', async () => {
    await seed.sql(
      `INSERT INTO webhook_endpoints (id, project_id, url, event_types, secret) VALUES ($1, $2, $3, '{}', 'its own')`,
      [newId('endpoint'), seed.projectId, 'https://example.com/hook'],
    )
    expect((await claim(await pending()))?.sealedSecrets).toEqual(['its own'])
  })

  it('lapses: an attempt whose worker died is followed by the next one', async () => {
    const id = await pending()
    await claim(id)
    expect(await overdue()).toEqual([])
    await letTimePass(id)
    expect(await overdue()).toEqual([{ id, dispatchCount: 1 }])
    expect((await claim(id))?.attempt).toBe(2)
  })

  it('is null for a delivery that has ended or never was', async () => {
    const id = await pending()
    await claim(id)
    await recordAttempt(seed.database, attempt(id, 1, { httpStatus: 200 }), { state: 'succeeded' })
    expect(await claim(id)).toBeNull()
    expect(await claim('dlv_none')).toBeNull()
  })
})

describe('an attempt', () => {
  it('that failed is on record, and the next one is due after its wait', async () => {
    const id = await pending()
    await claim(id)
    await recordAttempt(seed.database, attempt(id, 1), RETRY)
    const row = await delivery(id)
    expect(row).toMatchObject({ state: 'pending', attempts: 1, finishedAt: null })
    expect(row.dueAt).toEqual(row.nextAttemptAt)
    expect(row.dueAt?.getTime()).toBeGreaterThan(Date.now() + 3_000)
    expect(await claim(id)).toBeNull()
    await letTimePass(id)
    expect((await claim(id))?.attempt).toBe(2)
    expect(await attempts(id)).toMatchObject([{ number: 1, httpStatus: 500, durationMs: 2 }])
  })

  it.each(['succeeded', 'failed'] as const)('that %s ends the delivery', async (state) => {
    const id = await pending()
    await claim(id)
    await recordAttempt(seed.database, attempt(id, 1), { state })
    expect(await delivery(id)).toMatchObject({
      state,
      dueAt: null,
      nextAttemptAt: null,
      finishedAt: expect.any(Date),
    })
  })

  it('that succeeded after its lease was lost still ends the delivery; one that failed does not shorten the next lease', async () => {
    const id = await pending()
    await claim(id)
    await letTimePass(id)
    await claim(id)
    const { dueAt } = await delivery(id)
    await recordAttempt(seed.database, attempt(id, 1), RETRY)
    expect((await delivery(id)).dueAt).toEqual(dueAt)
    await recordAttempt(seed.database, attempt(id, 1), { state: 'succeeded' })
    expect((await delivery(id)).state).toBe('succeeded')
    await recordAttempt(seed.database, attempt(id, 2), RETRY)
    expect((await delivery(id)).state).toBe('succeeded')
    expect((await attempts(id)).map((one) => one.number)).toEqual([1, 2])
  })
})

describe('reconcile', () => {
  it('claims each overdue delivery for one worker, the longest overdue first', async () => {
    const ids = [await pending(), await pending(), await pending()]
    for (const id of ids) await letTimePass(id)
    const claimed = await Promise.all([overdue(2), overdue(2)])
    expect(
      claimed
        .flat()
        .map((one) => one.id)
        .sort(),
    ).toEqual(ids.sort())
    expect(await overdue()).toEqual([])
  })
})
