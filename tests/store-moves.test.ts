// Moves on a real Postgres: each move is a single guarded statement that writes status, event and deliveries together.

import { isId, newId } from '@reelqueue/contract/terms/ids'
import { afterMove, isTerminal, MOVES, type MoveName, STATUSES, type Status } from '@reelqueue/contract/terms/status'
import { generationAtEvent, toGenerationJson } from '@reelqueue/contract/wire/generation'
import type { TerminalAnswer } from '@reelqueue/shared/domain/terminal-answer'
import { schemaDrift } from '@reelqueue/shared/migrate/migrate'
import { Prisma } from '@reelqueue/shared/store/generated/client'
import { completeGeneration } from '@reelqueue/shared/store/lifecycle/completion'
import { moveGenerations } from '@reelqueue/shared/store/lifecycle/moves'
import { recordPolls } from '@reelqueue/shared/store/lifecycle/polling'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pollOf, type Seed, seedDatabase } from './support/seed.ts'

const HOOK = 'https://example.com/hook'
const COMPLETED: TerminalAnswer = {
  kind: 'completed',
  videoUrl: 'https://cdn.example.com/v.mp4',
  actualDuration: 8.042,
  cost: { amount: 0.8, totalTokens: 108_000 },
}
const FAILED: TerminalAnswer = { kind: 'failed', code: 'upstream_failed', message: 'content policy', cost: null }

let seed: Seed
beforeAll(async () => {
  seed = await seedDatabase()
})
afterAll(() => seed.close())

/** A processing generation with an answer that waits for the complete step. */
async function answered(answer: TerminalAnswer, webhookUrl: string | null = null): Promise<string> {
  const id = await seed.processing({ webhookUrl })
  const record = { ...pollOf(id), nextMs: 0, sawPending: false, pollFailures: 0, answer }
  await recordPolls(seed.database, [record])
  return id
}

async function endpoint(url: string, eventTypes: string[] = [], disabled = false): Promise<string> {
  const id = newId('endpoint')
  await seed.sql(
    `INSERT INTO webhook_endpoints (id, project_id, url, event_types, secret, disabled_at)
     VALUES ($1, $2, $3, $4, 'sealed', CASE WHEN $5 THEN now() END)`,
    [id, seed.projectId, url, eventTypes, disabled],
  )
  return id
}
const noEndpoints = () => seed.sql('UPDATE webhook_endpoints SET disabled_at = now()')

async function deliveriesOf(id: string) {
  return await seed.sql<{ url: string; endpoint_id: string | null; type: string }>(
    `SELECT d.url, d.endpoint_id, e.type FROM deliveries d JOIN events e ON e.id = d.event_id
     WHERE e.generation_id = $1 ORDER BY e.sequence, d.url`,
    [id],
  )
}

describe('the guarded statement', () => {
  const pairs = STATUSES.flatMap((status) => (Object.keys(MOVES) as MoveName[]).map((move) => ({ status, move })))

  async function stand(status: Status): Promise<string> {
    const id = await seed.queued()
    await seed.sql(
      `UPDATE generations SET status = $2::generation_status, finished_at = CASE WHEN $3 THEN now() END,
         error_code = CASE WHEN $2 = 'failed' THEN 'code' END, video_url = CASE WHEN $2 = 'completed' THEN 'u' END,
         video_url_expires_at = CASE WHEN $2 = 'completed' THEN now() END WHERE id = $1`,
      [id, status, isTerminal(status)],
    )
    return id
  }
  const set = Prisma.sql`video_url = 'u', video_url_expires_at = now(), error_code = 'code'`

  it.each(pairs)('agrees with the table: $move from $status', async ({ status, move }) => {
    const id = await stand(status)
    const expected = afterMove(status, move)
    const moved = await moveGenerations(seed.database.prisma, [id], move, { set })
    const row = await seed.row(id)
    const events = await seed.events(id)
    expect(moved.map((one) => one.id)).toEqual(expected ? [id] : [])
    expect(row.status).toBe(expected ?? status)
    expect(row.finishedAt !== null).toBe(isTerminal(expected ?? status))
    expect(events.map((event) => event.type)).toEqual([
      'generation.queued',
      ...(expected ? [`generation.${expected}`] : []),
    ])
    expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1))
  })

  it('done by four workers at the same instant, moves once', async () => {
    const id = await answered(COMPLETED, HOOK)
    const complete = () => completeGeneration(seed.database, id)
    const lock = `SELECT 1 FROM generations WHERE id = '${id}' FOR UPDATE`
    const moved = await seed.collide(lock, [complete, complete, complete, complete])
    expect(moved.flat()).toEqual([{ id, batchId: null, status: 'completed', deliveryIds: [expect.any(String)] }])
    expect((await seed.events(id)).filter((event) => event.type === 'generation.completed')).toHaveLength(1)
    expect(await deliveriesOf(id)).toEqual([{ url: HOOK, endpoint_id: null, type: 'generation.completed' }])
    expect(await completeGeneration(seed.database, id)).toEqual([])
  })

  it('does not deadlock when several rows are moved in opposite orders', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => seed.queued()))
    const lock = `SELECT 1 FROM generations WHERE id = ANY ('{${ids.join(',')}}') FOR UPDATE`
    const orders = [ids, [...ids].reverse(), [...ids.slice(10), ...ids.slice(0, 10)]]
    const moved = await seed.collide(
      lock,
      orders.map((order) => () => moveGenerations(seed.database.prisma, order, 'cancel')),
    )
    expect(moved.map((one) => one.length).sort((a, b) => a - b)).toEqual([0, 0, 20])
  })
})

describe('completing', () => {
  it('stores the video, its expiry and the cost, and waits for nothing more', async () => {
    const id = await answered(COMPLETED)
    await completeGeneration(seed.database, id)
    expect(await seed.row(id)).toMatchObject({
      status: 'completed',
      videoUrl: 'https://cdn.example.com/v.mp4',
      actualDuration: 8.042,
      cost: { amount: 0.8, totalTokens: 108_000 },
      answer: null,
      dueAt: null,
      slotUntil: null,
    })
  })

  it.each([
    ['the last poll that saw it unfinished', true],
    ['the submission when no poll did', false],
  ])('counts the day of the video from %s', async (_name, polled) => {
    const id = await answered(COMPLETED)
    await seed.sql(
      `UPDATE generations SET submitted_at = now() - interval '3 hours',
         last_pending_at = CASE WHEN $2 THEN now() - interval '1 hour' END WHERE id = $1`,
      [id, polled],
    )
    await completeGeneration(seed.database, id)
    const { videoUrlExpiresAt, lastPendingAt, submittedAt } = await seed.row(id)
    const from = polled ? lastPendingAt : submittedAt
    expect((videoUrlExpiresAt?.getTime() ?? 0) - (from?.getTime() ?? 0)).toBe(24 * 3_600_000)
  })

  it.each([
    ['1 hour', '1 hour'],
    ['48 hours', '24 hours'],
  ])('of a link that ends in %s is never later than the truth: %s', async (linkLife, life) => {
    const id = await answered(COMPLETED)
    await seed.sql(
      `UPDATE generations SET submitted_at = now(), last_pending_at = NULL,
         answer = answer || jsonb_build_object('expiresAt', to_char(now() + $2::interval, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) WHERE id = $1`,
      [id, linkLife],
    )
    await completeGeneration(seed.database, id)
    const rows = await seed.sql(
      'SELECT video_url_expires_at - submitted_at = $2::interval AS ends FROM generations WHERE id = $1',
      [id, life],
    )
    expect(rows).toEqual([{ ends: true }])
  })

  it('carries out a failure with the code and message of the provider', async () => {
    const id = await answered(FAILED, HOOK)
    expect(await completeGeneration(seed.database, id)).toHaveLength(1)
    expect(await seed.row(id)).toMatchObject({
      status: 'failed',
      errorCode: 'upstream_failed',
      errorMessage: 'content policy',
      dueAt: null,
    })
    expect(await deliveriesOf(id)).toEqual([{ url: HOOK, endpoint_id: null, type: 'generation.failed' }])
  })

  it('does nothing without an answer, and nothing for an id that does not exist', async () => {
    expect(await completeGeneration(seed.database, await seed.processing())).toEqual([])
    expect(await completeGeneration(seed.database, 'gen_none')).toEqual([])
  })
})

describe('an event', () => {
  it('records the generation as it was: what the webhook shows is what a reply would have shown then', async () => {
    const id = await answered(COMPLETED)
    await completeGeneration(seed.database, id)
    const event = (await seed.events(id)).at(-1)
    const row = await seed.row(id)
    expect(generationAtEvent(row, event?.data)).toEqual(toGenerationJson(row))
  })
})

describe('deliveries', () => {
  it('are created once for a URL that is both the request’s own and an endpoint’s, under the endpoint’s secret', async () => {
    const endpointId = await endpoint(HOOK)
    const id = await answered(COMPLETED, HOOK)
    await completeGeneration(seed.database, id)
    expect(await deliveriesOf(id)).toEqual([{ url: HOOK, endpoint_id: endpointId, type: 'generation.completed' }])
    await noEndpoints()
  })

  it('are created for each endpoint and the types it names, to none that is disabled, and by default for endings', async () => {
    await endpoint('https://example.com/all')
    await endpoint('https://example.com/disabled', [], true)
    await endpoint('https://example.com/failed', ['generation.failed'])
    await endpoint('https://example.com/progress', ['generation.submitting', 'generation.processing'])
    const id = await answered(COMPLETED, HOOK)
    await completeGeneration(seed.database, id)
    expect((await deliveriesOf(id)).map(({ url, type }) => `${type} ${url}`)).toEqual([
      'generation.submitting https://example.com/progress',
      'generation.processing https://example.com/progress',
      'generation.completed https://example.com/all',
      'generation.completed https://example.com/hook',
    ])
    await noEndpoints()
  })
})

describe('the database', () => {
  it.each(['event', 'delivery'] as const)(
    'makes well-formed ids of each %s: TypeIDs of a UUIDv7 that carries the time',
    async (noun) => {
      if (noun === 'delivery') {
        const webhookUrl = 'https://example.com/hook'
        const queued = await Promise.all(Array.from({ length: 500 }, () => seed.queued({ webhookUrl })))
        await moveGenerations(seed.database.prisma, queued, 'cancel', { set: Prisma.sql`due_at = NULL` })
      }
      const rows = await seed.sql<{ id: string }>(
        noun === 'event'
          ? `SELECT new_id('evt') AS id FROM generate_series(1, 500)`
          : `SELECT deliveries.id FROM deliveries JOIN events ON events.id = event_id WHERE type = 'generation.cancelled' ORDER BY deliveries.id DESC LIMIT 500`,
      )
      const ids = rows.map((row) => row.id)
      expect(ids.filter((id) => !isId(noun, id))).toEqual([])
      expect(new Set(ids).size).toBe(500)
      for (const id of ids) {
        const uuid = uuidOf(id)
        expect(uuid).toMatch(/^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/)
        expect(Math.abs(Number.parseInt(uuid.slice(0, 12), 16) - Date.now())).toBeLessThan(60_000)
      }
    },
  )

  it('has exactly the schema that the code believes in', async () => {
    expect(await schemaDrift(seed.url)).toBe('')
  })
})

/** The UUID of a TypeID, as 32 hexadecimal digits. */
function uuidOf(id: string): string {
  const digits = [...id.slice(-26)].map((digit) => BigInt('0123456789abcdefghjkmnpqrstvwxyz'.indexOf(digit)))
  const bits = digits.reduce((value, digit) => value * 32n + digit, 0n)
  return bits.toString(16).padStart(32, '0')
}
