// Statements with several rows: each row gets the same result as alone, an unusual row uses the single-row fallback,
// and locked rows are not waited for.

import { type FinishedAttempt, recordAttempts } from '@reelqueue/shared/store/deliveries/attempts'
import { claimDeliveries } from '@reelqueue/shared/store/deliveries/claims'
import { Prisma } from '@reelqueue/shared/store/generated/client'
import { acceptGenerations } from '@reelqueue/shared/store/intake/generations'
import { recordAccepted } from '@reelqueue/shared/store/lifecycle/acceptance'
import { completeGenerations, completeSeen } from '@reelqueue/shared/store/lifecycle/completion'
import { moveGenerations } from '@reelqueue/shared/store/lifecycle/moves'
import { recordPolls } from '@reelqueue/shared/store/lifecycle/polling'
import { beginSubmissions } from '@reelqueue/shared/store/lifecycle/submissions'
import { addApiKey, hashOf, listApiKeys, revokeApiKey } from '@reelqueue/shared/store/projects'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { lockOf, VIDEO } from './support/attempts.ts'
import { beginRequestFor, LEASE_MS, newGeneration, pollOf, SETTLING, type Seed, seedDatabase } from './support/seed.ts'

let seed: Seed
beforeAll(async () => {
  seed = await seedDatabase()
})
afterAll(() => seed.close())

const begin = (...ids: string[]) => beginSubmissions(seed.database, ids.map(beginRequestFor), 'globalai', LEASE_MS)

describe('the intents of several', () => {
  it('are committed together, each with its own submission and request; what is not ready has none', async () => {
    const [one, other] = [await seed.admitted({ prompt: 'one' }), await seed.admitted({ prompt: 'other' })]
    const [retried, queued] = [await seed.admitted(), await seed.queued()]
    await seed.sql('UPDATE generations SET attempt = 2 WHERE id = $1', [retried])
    const results = await begin(one, queued, other, retried)
    expect(results.map((result) => result?.kind ?? null)).toEqual(['begun', null, 'begun', null])
    for (const [id, result] of [[one, results[0]] as const, [other, results[2]] as const]) {
      const row = await seed.row(id)
      expect(row).toMatchObject({ status: 'submitting', submissions: [{ state: 'started', attempt: 1 }] })
      const request = { prompt: row.prompt, model: row.model, size: null, seconds: null, inputReference: null }
      expect(result).toMatchObject({ intent: { submissionId: row.currentSubmissionId, number: 1, request } })
      expect((await seed.events(id)).map((event) => event.type)).toEqual(['generation.queued', 'generation.submitting'])
    }
    expect((await seed.row(queued)).submissions).toEqual([])
  })

  it('do not wait for a locked generation', async () => {
    const [locked, free] = [await seed.admitted(), await seed.admitted()]
    const results = await seed.holding(lockOf(locked), () => begin(locked, free))
    expect(results.map((result) => result?.kind ?? null)).toEqual([null, 'begun'])
  })

  it('are one for a generation that is named twice', async () => {
    const id = await seed.admitted()
    expect((await begin(id, id)).filter((result) => result?.kind === 'begun')).toHaveLength(1)
    expect((await seed.row(id)).submissions).toHaveLength(1)
  })

  it('are none while submitting is paused', async () => {
    const id = await seed.admitted()
    await seed.sql(`INSERT INTO upstream_gates (upstream, paused_at) VALUES ('globalai', now())`)
    expect(await begin(id)).toEqual([null])
    await seed.sql('DELETE FROM upstream_gates')
  })
})

describe('acceptances of several', () => {
  const accepted = (submissionId: string, taskId: string) => ({ ...SETTLING, submissionId, taskId })

  it('are recorded together, each with its own task; extraordinary and locked ones are left', async () => {
    const [one, other, cancelled, locked] = await Promise.all([1, 2, 3, 4].map(() => seed.submitting()))
    if (!one || !other || !cancelled || !locked) throw new Error('four')
    await seed.sql('UPDATE generations SET cancel_requested_at = now() WHERE id = $1', [cancelled.id])
    const results = await seed.holding(lockOf(locked.id), () =>
      recordAccepted(seed.database, [
        accepted(one.submissionId, 'sora_1'),
        accepted(cancelled.submissionId, 'sora_2'),
        { ...accepted(other.submissionId, 'sora_3'), firstPollMs: 90_000 },
        accepted(locked.submissionId, 'sora_4'),
      ]),
    )
    expect(results.map((result) => result?.status ?? null)).toEqual(['processing', null, 'processing', null])
    expect(await seed.row(one.id)).toMatchObject({
      status: 'processing',
      upstreamTaskId: 'sora_1',
      mayBeCharged: true,
      submissions: [{ state: 'accepted', upstreamTaskId: 'sora_1' }],
    })
    const row = await seed.row(other.id)
    expect(row).toMatchObject({ status: 'processing', upstreamTaskId: 'sora_3' })
    expect((row.dueAt?.getTime() ?? 0) - Date.now()).toBeGreaterThan(60_000)
    for (const { id } of [cancelled, locked])
      expect(await seed.row(id)).toMatchObject({ status: 'submitting', submissions: [{ state: 'started' }] })
  })

  it('change nothing when one names a task that is taken: each is then settled by itself', async () => {
    const [one, other] = [await seed.submitting(), await seed.submitting()]
    const taken = [accepted(one.submissionId, 'sora_same'), accepted(other.submissionId, 'sora_same')]
    await expect(recordAccepted(seed.database, taken)).rejects.toThrow()
    for (const { id } of [one, other]) expect((await seed.row(id)).submissions).toMatchObject([{ state: 'started' }])
  })
})

describe('completions of several', () => {
  it('carry out the successes that wait, and leave what else waits', async () => {
    const [done, failed, none] = [await seed.processing(), await seed.processing(), await seed.processing()]
    const poll = { nextMs: 0, sawPending: false, pollFailures: 0 }
    await recordPolls(seed.database, [
      { ...pollOf(done), ...poll, answer: VIDEO },
      { ...pollOf(failed), ...poll, answer: { kind: 'failed', code: 'c', message: 'm', cost: null } },
    ])
    const moved = await completeGenerations(seed.database, [done, failed, none])
    expect(moved.map((one) => one?.map(({ id }) => id) ?? null)).toEqual([[done], null, null])
    expect(await seed.row(done)).toMatchObject({ status: 'completed', videoUrl: VIDEO.videoUrl, cost: null })
  })

  it('by a poller that comes late change nothing', async () => {
    const [mine, other] = [await seed.processing(), await seed.processing()]
    await seed.sql('UPDATE generations SET wakes = wakes + 1 WHERE id = $1', [other])
    const seen = [mine, other].map((id) => ({
      ...pollOf(id),
      answer: { ...VIDEO, cost: { amount: 2, totalTokens: null } },
    }))
    expect((await completeSeen(seed.database, seen)).map(({ id }) => id)).toEqual([mine])
    expect(await seed.row(mine)).toMatchObject({ status: 'completed', cost: { amount: 2, totalTokens: null } })
    expect((await seed.row(other)).status).toBe('processing')
    expect(await completeSeen(seed.database, seen)).toEqual([])
  })
})

/** Ends generations with a webhook. @returns the move's deliveries */
async function cancelled(urls: readonly string[]) {
  const ids: string[] = []
  for (const webhookUrl of urls) ids.push(await seed.queued({ webhookUrl }))
  const moved = await moveGenerations(seed.database.prisma, ids, 'cancel', { set: Prisma.sql`due_at = NULL` })
  return ids.map((id) => moved.find((move) => move.id === id)?.deliveryIds ?? [])
}

describe('deliveries of several', () => {
  it('are returned with their generation, and few for one server', async () => {
    const told = await cancelled(['http://one.example', 'http://other.example'])
    const events = await seed.sql<{ url: string }>('SELECT url FROM deliveries WHERE id = ANY ($1) ORDER BY id', [
      told.flat(),
    ])
    expect(events.map((row) => row.url).sort()).toEqual(['http://one.example', 'http://other.example'])
    const urlOf = async (id?: string) =>
      (await seed.sql<{ url: string }>('SELECT url FROM deliveries WHERE id = $1', [id]))[0]?.url
    expect(await urlOf(told[0]?.[0])).toBe('http://one.example')
    expect(await urlOf(told[1]?.[0])).toBe('http://other.example')
    const many = await cancelled(Array.from({ length: 25 }, (_, n) => `http://many.example/${n}`))
    expect(many.flat()).toHaveLength(20)
  })

  it('are each claimed once by concurrent callers; a locked row is left', async () => {
    const [one = '', two = '', three = '', locked = ''] = (
      await cancelled(['http://a.example/1', 'http://a.example/2', 'http://a.example/3', 'http://a.example/4'])
    ).flat()
    const origin = `${seed.projectId} http://a.example`
    const lock = `SELECT 1 FROM deliveries WHERE id = '${locked}' FOR UPDATE`
    const wanted = [{ id: one }, { id: one }, { origin }, { origin }, { origin }, { id: locked }]
    const claimed = await seed.holding(lock, () => claimDeliveries(seed.database, wanted, 60_000))
    const ids = claimed.map((claim) => (claim instanceof Error ? claim : (claim?.id ?? null)))
    expect(ids.slice(0, 2)).toEqual([one, null])
    expect(ids.slice(2, 4).sort()).toEqual([two, three].sort())
    expect(ids.slice(4)).toEqual([null, null])
  })

  it('are recorded together; a second attempt of the same one, and one that is locked, wait for their turn', async () => {
    const [one = '', locked = ''] = (await cancelled(['http://b.example/1', 'http://b.example/2'])).flat()
    await claimDeliveries(seed.database, [{ id: one }, { id: locked }], 60_000)
    const finished = (deliveryId: string, attempt: number): FinishedAttempt => ({
      attempt: {
        deliveryId,
        attempt,
        httpStatus: 200,
        errorClass: null,
        message: 'ok',
        replySnippet: null,
        durationMs: 1,
      },
      decision: { state: 'succeeded' },
    })
    const lock = `SELECT 1 FROM deliveries WHERE id = '${locked}' FOR UPDATE`
    const all = [finished(one, 1), finished(one, 2), finished(locked, 1)]
    expect(await seed.holding(lock, () => recordAttempts(seed.database, all))).toEqual([true, false, false])
    const logged = await seed.sql('SELECT number FROM delivery_attempts WHERE delivery_id = ANY ($1)', [[one, locked]])
    expect(logged).toEqual([{ number: 1 }])
    expect(await seed.sql('SELECT state FROM deliveries WHERE id = $1', [locked])).toEqual([{ state: 'pending' }])
  })
})

it('requests of several are accepted together; what a dead key asks for is not, and an open policy is the project’s', async () => {
  await addApiKey(seed.database, seed.projectId, 'alive', 'rq_alive')
  await addApiKey(seed.database, seed.projectId, 'dead', 'rq_dead')
  const dead = (await listApiKeys(seed.database)).find((key) => key.name === 'dead')
  await revokeApiKey(seed.database, dead?.id ?? '')
  await seed.sql(`UPDATE projects SET on_unknown_submission = 'resubmit'`)
  const requests = [
    {
      row: newGeneration(seed.projectId, { onUnknownSubmission: null, idempotencyKey: 'z' }),
      keyHash: hashOf('rq_alive'),
    },
    { row: newGeneration(seed.projectId), keyHash: hashOf('rq_dead') },
    {
      row: newGeneration(seed.projectId, { onUnknownSubmission: 'fail', idempotencyKey: 'a' }),
      keyHash: hashOf('rq_alive'),
    },
    { row: newGeneration(seed.projectId, { idempotencyKey: 'a' }), keyHash: hashOf('rq_alive') },
  ]
  const stored = await acceptGenerations(seed.database, requests)
  expect(stored.map((one) => one?.onUnknownSubmission ?? null)).toEqual(['resubmit', null, 'fail', null])
})
