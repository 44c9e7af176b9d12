// A single poller run by plain calls, against a real Postgres and a real server in the provider's place.

import { type PollLimits, pollLimits } from '@reelqueue/shared/domain/poll-plan'
import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { insertGenerations } from '@reelqueue/shared/store/intake/generations'
import { completeGeneration } from '@reelqueue/shared/store/lifecycle/completion'
import { afterAll, beforeEach, expect, it } from 'vitest'
import { lockOf } from './support/attempts.ts'
import { pollerOf, runOnce } from './support/polling.ts'
import { answer, hang, startScriptedUpstream } from './support/scripted-upstream.ts'
import { newGeneration, seedDatabase, taskIdOf } from './support/seed.ts'
import { afterCommitOf, stepDeps } from './support/step-deps.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const TIMEOUT_MS = 5_000
const RENDERING = { id: 'x', object: 'video.generation', status: 'processing' }
const COMPLETED = { ...RENDERING, status: 'completed', video_url: 'https://v/1' }

const seed = await seedDatabase()
const app = await startTestApp({ databaseUrl: seed.url })
const provider = await startScriptedUpstream()
const upstream = createGlobalAi({ baseUrl: provider.origin, apiKey: 'key', timeoutMs: TIMEOUT_MS })
/** Polls of this adapter time out after 15 s. */
const patient = createGlobalAi({ baseUrl: provider.origin, apiKey: 'key', timeoutMs: 600_000 })
const enqueued: { id: string; hadAnswer: Promise<boolean> }[] = []
const deps: ReturnType<typeof stepDeps> = {
  ...stepDeps(app, {
    poll: pollLimits(60_000, 60_000, 3_600_000, CONFIGURED.facts),
    upstreamTimeoutMs: TIMEOUT_MS,
  }),
  afterCommit: afterCommitOf({
    queues: {
      ...app.queues,
      enqueue: (queue, rows) => {
        for (const { id } of rows) enqueued.push({ id, hadAnswer: seed.row(id).then((row) => row.answer !== null) })
        app.queues.enqueue(queue, rows)
      },
    },
  }),
}
const withLimits = (poll: PollLimits) => ({ ...deps, settings: { ...deps.settings, poll }, upstream })
const run = (poll = deps.settings.poll, signal?: AbortSignal) => runOnce(withLimits(poll), signal)

afterAll(async () => {
  await app.close()
  await upstream.close()
  await patient.close()
  await provider.stop()
  await seed.close()
})

beforeEach(async () => {
  enqueued.length = 0
  await seed.sql(`UPDATE generations SET due_at = NULL`)
})

async function due(count: number): Promise<string[]> {
  const rows = Array.from({ length: count }, () => newGeneration(seed.projectId))
  await insertGenerations(seed.database.prisma, rows)
  const ids = rows.map((row) => row.id)
  await seed.sql(
    `UPDATE generations SET status = 'processing', admitted_at = now(), submitted_at = now(), current_submission_id = 'sub_' || id,
       upstream_task_id = 'sora_' || id, may_be_charged = true, due_at = now() WHERE id = ANY ($1)`,
    [ids],
  )
  return ids
}
const endedOf = async (ids: readonly string[]) =>
  (await seed.sql(`SELECT 1 FROM generations WHERE status = 'completed' AND id = ANY ($1)`, [ids])).length
const taskOf = (url: string) => decodeURIComponent(url.split('/').at(-1) ?? '')

it('goes on while rows are due, and asks about 200 of them at once at the most', async () => {
  const ids = await due(250)
  let open = 0
  let most = 0
  provider.play((response) => {
    most = Math.max(most, ++open)
    setImmediate(() => {
      open -= 1
      response.end(JSON.stringify(RENDERING))
    })
  })
  await run()
  expect(new Set(provider.received.map((one) => taskOf(one.url)))).toEqual(new Set(ids.map(taskIdOf)))
  expect(provider.received).toHaveLength(250)
  expect(most).toBeLessThanOrEqual(200)
})

it('a poller run ends within its bound although rows are always due: the worker may be waiting to stop', async () => {
  await due(300)
  provider.play(answer(200, RENDERING))
  // A run without a bound would never return, and the test would time out.
  await run(pollLimits(0, 0, 3_600_000, CONFIGURED.facts))
  expect(provider.received.length).toBeGreaterThan(300)
})

it('a poller run waits for no unanswered poll: the poller goes on with due rows, and the answers are written when they come', async () => {
  const silent = await due(50)
  const silentTasks = new Set(silent.map(taskIdOf))
  const release: (() => void)[] = []
  provider.play((response, { url }) => {
    const done = () => response.end(JSON.stringify(COMPLETED))
    if (silentTasks.has(taskOf(url))) release.push(done)
    else done()
  })
  const polling = pollerOf(withLimits(deps.settings.poll))
  await polling.run()
  await until('all are asked', () => release.length === 50)
  const others = await due(400)
  await polling.run()
  await until('the others have completed', async () => (await endedOf(others)) === 400)
  expect(await endedOf(silent)).toBe(0)
  for (const done of release) done()
  await polling.idle()
  expect(await endedOf(silent)).toBe(50)
})

it('leaves what it has no places for to others while all are silent, and ends', async () => {
  await due(250)
  provider.play(hang)
  const stopping = new AbortController()
  const polling = pollerOf({ ...deps, upstream: patient }, stopping.signal)
  await polling.run()
  const leased = `SELECT 1 FROM generations WHERE status = 'processing' AND due_at > now()`
  expect(await seed.sql(leased)).toHaveLength(200)
  await until('all are asked', () => provider.received.length === 200)
  stopping.abort()
  await polling.idle()
  expect(await seed.sql(leased)).toHaveLength(0)
})

it('has 200 places for all runs together, also for those that claim side by side', async () => {
  await due(350)
  provider.play(hang)
  const stopping = new AbortController()
  const polling = pollerOf({ ...deps, upstream: patient }, stopping.signal)
  const leased = () => seed.sql(`SELECT 1 FROM generations WHERE status = 'processing' AND due_at > now()`)
  await seed.sql(`UPDATE generations SET due_at = now() + interval '1 hour' WHERE id IN (
    SELECT id FROM generations WHERE due_at <= now() ORDER BY due_at, id LIMIT 250)`)
  await polling.run()
  await seed.sql(`UPDATE generations SET due_at = now() WHERE due_at > now() + interval '30 minutes'`)
  expect(await leased()).toHaveLength(100)
  await Promise.all([polling.run(), polling.run()])
  expect(await leased()).toHaveLength(200)
  stopping.abort()
  await polling.idle()
})

it('claims for as long as a poll may take and a quarter of a minute, whatever a create may take', async () => {
  const [id = ''] = await due(1)
  provider.play(hang)
  const stopping = new AbortController()
  const polling = pollerOf(
    { ...deps, settings: { ...deps.settings, upstreamTimeoutMs: 600_000 }, upstream: patient },
    stopping.signal,
  )
  await polling.run()
  await until('it is asked', () => provider.received.length === 1)
  const leaseMs = Number((await seed.row(id)).dueAt) - Date.now()
  expect(leaseMs).toBeGreaterThan(20_000)
  expect(leaseMs).toBeLessThanOrEqual(30_000)
  stopping.abort()
  await polling.idle()
})

it('polls no more after the signal to stop, and releases unanswered polls', async () => {
  const ids = await due(450)
  const stopping = new AbortController()
  provider.play((response) => {
    stopping.abort()
    response.end(JSON.stringify(RENDERING))
  })
  await run(deps.settings.poll, stopping.signal)
  expect(provider.received.length).toBeLessThanOrEqual(200)
  const answered = await seed.sql('SELECT 1 FROM generations WHERE last_pending_at IS NOT NULL AND id = ANY ($1)', [
    ids,
  ])
  const isDue = await seed.sql('SELECT 1 FROM generations WHERE due_at <= now() AND id = ANY ($1)', [ids])
  expect(answered.length + isDue.length).toBe(450)
})

it('writes what it was answered while one poll is still silent, and gives that one up after its time', async () => {
  const ids = await due(5)
  provider.play((response, { url }) => {
    if (taskOf(url) !== taskIdOf(ids[0] ?? '')) response.end(JSON.stringify(COMPLETED))
  })
  const poller = run()
  await until('four are written', async () => {
    const rows = await Promise.all(ids.map((id) => seed.row(id)))
    return rows.filter((row) => row.status === 'completed').length === 4
  })
  await poller
  const silent = (await Promise.all(ids.map((id) => seed.row(id)))).filter((row) => row.status !== 'completed')
  expect(silent).toMatchObject([{ status: 'processing', pollFailures: 1 }])
})

it('completes a reported success at once, in the same statement that creates the deliveries', async () => {
  const [id = ''] = await due(1)
  provider.play(answer(200, { ...COMPLETED, actualDuration: 4.042 }))
  await run()
  expect(await seed.row(id)).toMatchObject({
    status: 'completed',
    videoUrl: 'https://v/1',
    actualDuration: 4.042,
    answer: null,
    dueAt: null,
  })
  expect(enqueued).toEqual([])
})

it('a terminal answer is committed before complete is enqueued, and complete asks the provider nothing', async () => {
  const [id = ''] = await due(1)
  provider.play(answer(200, { status: 'failed', error: 'no' }))
  await run()
  expect(enqueued.map((one) => one.id)).toEqual([id])
  expect(await enqueued[0]?.hadAnswer).toBe(true)
  await upstream.poll('nobody')
  const asked = provider.received.length
  expect(await completeGeneration(seed.database, id)).toMatchObject([{ id }])
  expect(provider.received).toHaveLength(asked)
  expect(await seed.row(id)).toMatchObject({ status: 'failed', errorMessage: 'no' })
})

it('obeys Retry-After by the row alone: it is due when the provider said, and no job says so', async () => {
  const [id = ''] = await due(1)
  provider.play(answer(429, { error: 'later' }, { 'retry-after': '600' }))
  await run()
  const inSeconds = (Number((await seed.row(id)).dueAt) - Date.now()) / 1_000
  expect(inSeconds).toBeGreaterThan(550)
  expect(inSeconds).toBeLessThanOrEqual(600)
})

it.each([
  ['failing it', `NEW.status <> OLD.status`, 'processing'],
  ['recording its answer', `NEW.poll_failures <> OLD.poll_failures`, 'failed'],
])(
  'that dies at %s past its deadline leaves the generation to the next poller, at once when its claim lapses',
  async (_, changes, status) => {
    const [id = ''] = await due(1)
    await seed.sql(`UPDATE generations SET submitted_at = now() - interval '2 hours' WHERE id = $1`, [id])
    provider.play(answer(503, {}))
    await seed.sql(`CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'it dies here'; END $$`)
    await seed.sql(
      `CREATE TRIGGER dies BEFORE UPDATE ON generations FOR EACH ROW WHEN (${changes}) EXECUTE FUNCTION die()`,
    )
    await run()
    await seed.sql(`DROP FUNCTION die CASCADE`)
    const left = await seed.row(id)
    expect(left.status).toBe(status)
    expect(Number(left.dueAt) - Date.now()).toBeLessThanOrEqual(TIMEOUT_MS + 15_000)

    await seed.sql(`UPDATE unstorable_rows SET retry_at = now()`)
    await seed.sql(`UPDATE generations SET due_at = now() WHERE id = $1`, [id])
    await run()
    expect(await seed.row(id)).toMatchObject({ status: 'failed', errorCode: 'deadline_exceeded', pollFailures: 1 })
  },
)

it('whose completion Postgres refuses is alone in that, and fails at its deadline with a code that says so; a later try still settles it', async () => {
  const ids = await due(100)
  const bad = ids[61] ?? ''
  provider.play((response, { url }) => {
    const video_url = taskOf(url) === taskIdOf(bad) ? 'https://v/refused' : 'https://v/1'
    response.end(JSON.stringify({ ...COMPLETED, video_url }))
  })
  await seed.sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused here'; END $$`)
  await seed.sql(
    `CREATE TRIGGER refuses BEFORE UPDATE ON generations FOR EACH ROW WHEN (NEW.video_url = 'https://v/refused') EXECUTE FUNCTION refuse()`,
  )
  const isDue = async () => {
    await seed.sql(`UPDATE unstorable_rows SET retry_at = now()`)
    await seed.sql(`UPDATE generations SET due_at = now() WHERE id = $1`, [bad])
  }
  await run()
  expect(await endedOf(ids)).toBe(99)
  expect(await seed.row(bad)).toMatchObject({ status: 'processing' })

  await isDue()
  await seed.sql(`UPDATE generations SET submitted_at = now() - interval '2 hours' WHERE id = $1`, [bad])
  await run()
  expect(await seed.row(bad)).toMatchObject({ status: 'failed', errorCode: 'unstorable_answer', mayBeCharged: true })
  const told = (await app.logLines()).filter((line) => line.event === 'poll.unstorable')
  expect(told).toMatchObject([
    { generationId: bad, upstreamTaskId: taskIdOf(bad), answer: 'completed', sqlState: 'P0001' },
  ])
  expect(JSON.stringify(told)).not.toContain('https://v/')

  await seed.sql(`DROP FUNCTION refuse CASCADE`)
  await isDue()
  await run()
  await completeGeneration(seed.database, bad)
  expect(await seed.row(bad)).toMatchObject({ status: 'completed', videoUrl: 'https://v/refused' })
})

it('whose row is locked when it completes past its deadline stays due, and is not failed', async () => {
  const [id = ''] = await due(1)
  await seed.sql(`UPDATE generations SET submitted_at = now() - interval '2 hours' WHERE id = $1`, [id])
  const held: (() => void)[] = []
  provider.play((response) => held.push(() => response.end(JSON.stringify(COMPLETED))))
  const polling = pollerOf(withLimits(deps.settings.poll))
  await polling.run()
  await until('it is asked', () => held.length === 1)
  let hasEnded = false
  /** The start time of the statement that waits for the row. */
  const waiting = async () => {
    const [row] = await seed.sql<{ since: string }>(
      `SELECT query_start::text AS since FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'reelqueue' AND wait_event_type = 'Lock'`,
    )
    return row?.since
  }
  await seed.holding(lockOf(id), async () => {
    for (const done of held) done()
    void polling.idle().then(() => {
      hasEnded = true
    })
    const first = await until('its completion waits for the row', waiting)
    await until('nothing is done about it any more, or something else waits for the row', async () => {
      const since = await waiting()
      return hasEnded || (since !== undefined && since !== first)
    })
  })
  await polling.idle()
  expect(await seed.row(id)).toMatchObject({ status: 'processing', errorCode: null })

  provider.play(answer(200, COMPLETED))
  await seed.sql(`UPDATE generations SET due_at = now() WHERE id = $1`, [id])
  await run()
  expect(await seed.row(id)).toMatchObject({ status: 'completed', videoUrl: 'https://v/1' })
})

it('keeps the last answer that was of no use, says it at the deadline, and drops it when the task is seen again', async () => {
  const [id = ''] = await due(1)
  provider.play(
    answer(401, { error: { message: 'invalid api key' } }),
    answer(401, { error: { message: 'invalid api key' } }),
    answer(200, RENDERING),
  )
  const kept = async () => {
    const { lastPoll, errorMessage } = await seed.row(id)
    return { lastPoll, errorMessage }
  }
  await run()
  expect(await kept()).toMatchObject({
    lastPoll: {
      class: 'refused',
      http_status: 401,
      code: 'upstream_http_401',
      message: 'invalid api key',
      failures: 1,
    },
  })
  await seed.sql(`UPDATE generations SET due_at = now() WHERE id = $1`, [id])
  await run(pollLimits(60_000, 60_000, 0, CONFIGURED.facts))
  expect((await seed.row(id)).status).toBe('failed')
  expect((await kept()).errorMessage).toMatch(/deadline.*HTTP 401.*2 in a row.*invalid api key/)
  await seed.sql(`UPDATE generations SET due_at = now() WHERE id = $1`, [id])
  await run()
  expect((await kept()).lastPoll).toBeNull()
})
