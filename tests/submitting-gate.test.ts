// The submission gate: closed by the provider's answers or by an operator. Steps by plain calls, against a real
// Postgres and a real server in the provider's place.

import { silentTrialWaitMs } from '@reelqueue/shared/domain/gate-signal'
import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations, releaseAdmitted } from '@reelqueue/shared/store/admission/admission'
import { noteFailure, openHalf } from '@reelqueue/shared/store/admission/gate-answers'
import { takeRequests } from '@reelqueue/shared/store/admission/request-rate'
import { readGate, setPaused, tryNow } from '@reelqueue/shared/store/admission/submitting-gate'
import { openDatabase } from '@reelqueue/shared/store/database'
import { ensureProject, pauseProject } from '@reelqueue/shared/store/projects'
import { probe } from '@reelqueue/worker/steps/probe'
import { submit } from '@reelqueue/worker/steps/submit'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { runOnce } from './support/polling.ts'
import { type Act, answer, startScriptedUpstream } from './support/scripted-upstream.ts'
import { seedDatabase } from './support/seed.ts'
import { afterCommitOf, stepDeps } from './support/step-deps.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const seed = await seedDatabase()
// With a key, so the admitter admits.
const app = await startTestApp({ databaseUrl: seed.url, env: { UPSTREAM_API_KEY: 'key' } })
const provider = await startScriptedUpstream()
const upstream = createGlobalAi({ baseUrl: provider.origin, apiKey: 'key', timeoutMs: 1_000 })
const deps = { ...stepDeps(app), upstream }
const creates = () => provider.received.filter((one) => one.method === 'POST').length
const cut: Act = (_, { socket }) => socket.destroy()
const accepted: Act = (response) => response.end(JSON.stringify({ id: `sora_${Math.random()}` }))

beforeEach(async () => {
  await seed.sql('DELETE FROM upstream_gates')
  await seed.sql(`UPDATE generations SET status = 'cancelled', finished_at = now(), due_at = NULL, slot_until = NULL
    WHERE status IN ('queued', 'submitting', 'processing')`)
})
afterAll(async () => {
  await app.close()
  await upstream.close()
  await provider.stop()
  await seed.close()
})

/** Submits another generation. @returns the id */
async function submitOne(): Promise<string> {
  const id = await seed.admitted()
  await submit(deps, id)
  return id
}
const statusOf = async (id: string) => (await seed.row(id)).status

describe('a refusal of the account', () => {
  it.each([
    ['HTTP 401', answer(401, { message: 'invalid key' })],
    ['HTTP 402', answer(402, { message: 'pay first' })],
    ['HTTP 403', answer(403, { message: 'forbidden' })],
    ['an envelope that names the balance', answer(200, { code: 1004, msg: 'Insufficient balance', data: null })],
  ])('by %s fails nobody: all wait in their places, and nothing more is sent', async (_, refusal) => {
    const others = [await seed.admitted(), await seed.admitted()]
    provider.play(refusal)
    const id = await submitOne()
    expect(creates()).toBe(1)
    expect(await seed.row(id)).toMatchObject({
      status: 'queued',
      admittedAt: null,
      dueAt: null,
      errorCode: null,
      mayBeCharged: false,
    })
    for (const other of others) expect(await seed.row(other)).toMatchObject({ status: 'queued', admittedAt: null })
    expect(await readGate(seed.database, CONFIGURED.name)).toMatchObject({
      isOpen: false,
      refusal: expect.any(String),
      refusalClass: 'account',
      refusalRetryAt: expect.any(Date),
    })
    expect(await statusOf(await submitOne())).toBe('queued')
    expect(creates()).toBe(1)
    const types = (await seed.events(id)).map((event) => event.type)
    expect(types).toEqual(['generation.queued', 'generation.submitting', 'generation.queued'])

    await setPaused(seed.database, upstream.name, false)
    provider.play(accepted)
    await seed.admitted()
    await submit(deps, id)
    expect(await statusOf(id)).toBe('processing')
  })

  it('is tried again by itself with one submission; one that is accepted opens the gate', async () => {
    provider.play(answer(402, {}))
    await submitOne()
    await seed.sql(`UPDATE upstream_gates SET account_retry_at = now() - interval '1 ms'`)
    for (let n = 0; n < 3; n++) await seed.queued()
    const { admitted } = await admitGenerations(seed.database, CONFIGURED, 100)
    expect(admitted).toHaveLength(1)
    expect((await admitGenerations(seed.database, CONFIGURED, 100)).admitted).toEqual([])
    provider.play(accepted)
    await submit(deps, admitted[0]?.id ?? '')
    expect(await readGate(seed.database, CONFIGURED.name)).toMatchObject({ isOpen: true, refusal: null })
    expect((await admitGenerations(seed.database, CONFIGURED, 100)).admitted.length).toBeGreaterThan(1)
  })

  it('is tried again at once when a worker starts, perhaps with another key', async () => {
    provider.play(answer(402, {}))
    await submitOne()
    await seed.queued()
    expect((await admitGenerations(seed.database, CONFIGURED, 100)).admitted).toEqual([])
    await tryNow(seed.database, upstream.name)
    expect((await admitGenerations(seed.database, CONFIGURED, 100)).admitted).toHaveLength(1)
  })

  it('waits for longer each time that it is refused again', async () => {
    const waits: number[] = []
    provider.play(answer(402, {}))
    for (let n = 0; n < 3; n++) {
      await submitOne()
      waits.push(Number((await readGate(seed.database, CONFIGURED.name)).refusalRetryAt) - Date.now())
      await seed.sql(`UPDATE upstream_gates SET account_retry_at = now() - interval '1 ms'`)
    }
    expect(waits[1]).toBeGreaterThan((waits[0] ?? 0) * 1.5)
    expect(waits[2]).toBeGreaterThan((waits[1] ?? 0) * 1.5)
  })

  it('that only one generation receives again, while others are accepted, fails that generation and closes nothing', async () => {
    provider.play(answer(403, { message: 'not allowed' }))
    const id = await submitOne()
    await setPaused(seed.database, upstream.name, false)
    provider.play(accepted)
    await submitOne()
    provider.play(answer(403, { message: 'not allowed' }))
    await submit(deps, id)
    expect(await seed.row(id)).toMatchObject({ status: 'failed', errorCode: 'upstream_http_403', mayBeCharged: false })
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(true)
  })

  it('is not read into what a refusal of the request quotes', async () => {
    provider.play(answer(400, { message: 'the prompt "insufficient balance" is too short' }))
    expect(await statusOf(await submitOne())).toBe('failed')
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(true)
  })

  it('ends in cancelled for what was to be cancelled', async () => {
    provider.play(async (response) => {
      await seed.sql(`UPDATE generations SET cancel_requested_at = now() WHERE status = 'submitting'`)
      response.writeHead(402).end('{}')
    })
    expect(await statusOf(await submitOne())).toBe('cancelled')
  })
})

describe('the same refusal of requests', () => {
  it.each([
    ["a web server's 404 page", answer(404, '<html><h1>404 Not Found</h1></html>'), 0, 'configuration'],
    ['credits in an envelope', answer(200, { code: 4001, msg: 'Not enough credits' }), 0, 'account'],
    ['words that nobody knows', answer(400, { message: 'the plan of 2025 has ended' }), 5, 'request'],
  ])(
    'by %s costs at most five of many in flight at once, and closes the gate',
    async (_, refusal, costs, refusalClass) => {
      const ids = await Promise.all(Array.from({ length: 24 }, () => seed.admitted()))
      provider.play(async (response, exchanged) => {
        // All requests are sent before the first answer.
        await until('all are in flight', async () => creates() === ids.length)
        await refusal(response, exchanged)
      })
      await Promise.all(ids.map((id) => submit(deps, id)))
      const statuses = await Promise.all(ids.map(statusOf))
      expect(statuses.filter((status) => status === 'failed')).toHaveLength(costs)
      expect(statuses.filter((status) => status === 'queued')).toHaveLength(ids.length - costs)
      expect(await readGate(seed.database, CONFIGURED.name)).toMatchObject({ isOpen: false, refusalClass })
    },
  )

  it('is tried with another project next, and fails those at fault once that one was accepted', async () => {
    const refusal = answer(400, { message: 'size is wrong' })
    provider.play(refusal)
    const ids = await Promise.all(Array.from({ length: 6 }, () => seed.admitted()))
    for (const id of ids.slice(0, 5)) await submit(deps, id)
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(false)
    const [last = ''] = ids.slice(5)
    expect(await seed.row(last)).toMatchObject({ status: 'queued', admittedAt: null })
    const { id: project } = await ensureProject(seed.database, 'other', () => 'sealed')
    const other = await seed.queued()
    await seed.sql(`UPDATE generations SET project_id = $2 WHERE id = $1`, [other, project])
    // This project had a slot later than the refused project, so the ordinary turns would put it second.
    await seed.sql(`UPDATE projects SET last_admitted_at = now() + interval '1 min' * (id = $1)::int`, [project])
    await seed.sql(`UPDATE upstream_gates SET account_retry_at = now() - interval '1 ms'`)
    const { admitted } = await admitGenerations(seed.database, CONFIGURED, 100)
    expect(admitted.map(({ id }) => id)).toEqual([other])
    provider.play(accepted)
    await submit(deps, other)
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(true)
    provider.play(refusal)
    await admitGenerations(seed.database, CONFIGURED, 100)
    await submit(deps, last)
    expect(await statusOf(last)).toBe('failed')
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(true)
  })

  it.each([
    ['different words', (n: number) => answer(400, { message: `${'abcdefgh'[n]} is wrong` })],
    ['the content of each', () => answer(403, { message: 'content not allowed' })],
    ['acceptances between', (n: number) => (n % 4 === 3 ? accepted : answer(400, { message: 'size is wrong' }))],
  ])('with %s closes nothing', async (_, reply) => {
    for (let n = 0; n < 8; n++) {
      provider.play(reply(n))
      await submitOne()
    }
    expect(await readGate(seed.database, CONFIGURED.name)).toMatchObject({ isOpen: true, refusal: null })
  })

  it('of content is that of one prompt, with a code of its own', async () => {
    provider.play(answer(403, { message: 'content not allowed' }))
    expect(await seed.row(await submitOne())).toMatchObject({ status: 'failed', errorCode: 'content_rejected' })
  })
})

describe('an outage behind a CDN', () => {
  const down = answer(521, '<html>Web server is down</html>', { server: 'cloudflare', 'cf-ray': '1' })

  it('that never passed the requests on fails nothing, and ends when a free request is answered', async () => {
    provider.play(down)
    const ids = await Promise.all(Array.from({ length: 8 }, () => seed.admitted()))
    for (const id of ids) await submit(deps, id)
    for (const id of ids) expect(await seed.row(id)).toMatchObject({ errorCode: null, mayBeCharged: false })
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(false)
    provider.play(answer(404, { error: 'no such task' }))
    await probe(deps)
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(true)
  })

  it('that left outcomes unknown keeps a quarter of the slots at most, and none once submissions are accepted again', async () => {
    provider.play(answer(521, 'down'))
    for (let n = 0; n < 5; n++) expect(await statusOf(await submitOne())).toBe('failed')
    // More generations than a single statement releases.
    await seed.sql(
      `INSERT INTO generations (id, project_id, model, prompt, status, error_code, finished_at, slot_until)
      SELECT 'gen_kept' || n, $1, 'openAiSora2Plus', 'kept', 'failed', 'submission_unknown', now(), now() + interval '1 h'
      FROM generate_series(1, 1100) AS n`,
      [seed.projectId],
    )
    provider.play(answer(404, { error: 'no such task' }))
    await probe(deps)
    await seed.queued()
    const [first] = (await admitGenerations(seed.database, CONFIGURED, 4)).admitted
    provider.play(accepted)
    await submit(deps, first?.id ?? '')
    const kept = await seed.sql<{ count: number }>(
      `SELECT count(*)::int AS count FROM generations WHERE slot_until > now()`,
    )
    expect(kept[0]?.count).toBe(0)
    for (let n = 0; n < 4; n++) await seed.queued()
    expect((await admitGenerations(seed.database, CONFIGURED, 4)).admitted).toHaveLength(3)
  })
})

it('a 429 holds all submissions back for as long as it says; its own waits with its slot', async () => {
  provider.play(answer(429, {}, { 'retry-after': '120' }))
  const id = await submitOne()
  expect(await statusOf(id)).toBe('submitting')
  const { isOpen, holdUntil } = await readGate(seed.database, CONFIGURED.name)
  expect(isOpen).toBe(false)
  expect(Number(holdUntil) - Date.now()).toBeGreaterThan(100_000)
  expect(await seed.row(await submitOne())).toMatchObject({ status: 'queued', admittedAt: null })
  expect(creates()).toBe(1)
})

it('what a hold kept back is admitted again by itself when it is over', async () => {
  const id = await seed.admitted()
  provider.play(answer(429, {}, { 'retry-after': '1' }))
  await submitOne()
  await submit({ ...deps, afterCommit: app.context.afterCommit }, id)
  expect(await seed.row(id)).toMatchObject({ status: 'queued', admittedAt: null })
  await until('it is admitted', async () => (await seed.row(id)).admittedAt !== null)
})

describe('submissions in a row without an answer', () => {
  it('close the gate after five: no other is spent until a free request is answered', async () => {
    provider.play(cut)
    const other = await seed.admitted()
    for (let n = 0; n < 5; n++) expect(await statusOf(await submitOne())).toBe('failed')
    expect(await readGate(seed.database, CONFIGURED.name)).toMatchObject({
      isOpen: false,
      unreachableSince: expect.any(Date),
    })
    expect(await seed.row(other)).toMatchObject({ status: 'queued', admittedAt: null })
    expect(await statusOf(await submitOne())).toBe('queued')
    expect(creates()).toBe(5)
    await probe(deps)
    provider.play(answer(502, 'bad gateway'))
    await probe(deps)
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(false)
    provider.play(answer(404, { error: 'no such task' }))
    await probe(deps)
    expect(creates()).toBe(0)
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(true)
    // A single trial at a time; another failure closes the gate again.
    await seed.queued()
    const { admitted } = await admitGenerations(seed.database, CONFIGURED, 100)
    expect(admitted).toHaveLength(1)
    provider.play(cut)
    await submit(deps, admitted[0]?.id ?? '')
    expect(await readGate(seed.database, CONFIGURED.name)).toMatchObject({
      isOpen: false,
      unreachableSince: expect.any(Date),
    })
    await probe(deps)
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(false)
    await seed.sql(`UPDATE upstream_gates SET unreachable_since = unreachable_since - interval '2 s'`)
    // An error in an envelope is an answer too.
    provider.play(answer(200, { code: 1001, msg: 'no such task' }))
    await probe(deps)
    provider.play(accepted)
    const [next] = (await admitGenerations(seed.database, CONFIGURED, 100)).admitted
    let asked = 0
    const afterCommit = afterCommitOf(app, () => {
      asked++
    })
    await submit({ ...deps, afterCommit }, next?.id ?? '')
    expect(await statusOf(next?.id ?? '')).toBe('processing')
    expect(asked).toBe(1)
    await seed.queued()
    await seed.queued()
    expect((await admitGenerations(seed.database, CONFIGURED, 100)).admitted.length).toBeGreaterThan(1)
  })

  it('are also those that name the task of another: nothing was taken', async () => {
    provider.play(answer(200, { id: 'sora_of_another' }))
    expect(await statusOf(await submitOne())).toBe('processing')
    for (let n = 0; n < 5; n++) expect(await statusOf(await submitOne())).toBe('failed')
    expect(await statusOf(await submitOne())).toBe('queued')
    expect(creates()).toBe(6)
  })

  it('are not tasks that fail at once, also where the worker has just started: the provider knows them, and none that nobody made', async () => {
    const tasks = new Set<string>()
    provider.play((response, { method, url }) => {
      const id = `sora_${Math.random()}`
      if (method === 'POST') return response.end(JSON.stringify({ id: tasks.add(id) && id }))
      if (!tasks.has(url.slice(url.lastIndexOf('/') + 1)))
        return response.writeHead(404).end('{"error":"no such task"}')
      return response.end(JSON.stringify({ id, status: 'failed', error: 'content policy' }))
    })
    for (let n = 0; n < 3; n++) await submit({ ...deps, isProven: () => false }, await seed.admitted())
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(true)
    expect(creates()).toBe(3)
  })

  it('of several workers that find the provider answering again one admits', async () => {
    for (let n = 0; n < 5; n++) await noteFailure(seed.database, upstream.name, false, 1)
    const opened = await Promise.all([1, 2, 3].map(() => openHalf(seed.database, upstream.name)))
    expect(opened.filter(Boolean)).toHaveLength(1)
  })

  it('are tried later each time after the gate has closed; what began before says nothing, and a start tries at once', async () => {
    const close = async (isAfterFailure: boolean, weight = 1) =>
      await noteFailure(seed.database, upstream.name, isAfterFailure, weight)
    expect([await close(false, 2), await close(true, 2), await close(true, 2)]).toEqual([false, false, true])
    expect(await close(true)).toBe(false)
    const waitsMs = async () => {
      const { silentTrials, unreachableForMs } = await readGate(seed.database, CONFIGURED.name)
      return unreachableForMs === null ? null : silentTrialWaitMs(silentTrials, true)
    }
    expect(await waitsMs()).toBe(0)
    for (const wanted of [2_000, 4_000, 8_000]) {
      await openHalf(seed.database, upstream.name)
      expect([await close(false), await waitsMs()]).toEqual([false, null])
      expect([await close(true), await waitsMs()]).toEqual([true, wanted])
    }
    provider.play(answer(404, { error: 'no such task' }))
    await probe(deps)
    expect(provider.received).toHaveLength(0)
    await tryNow(seed.database, upstream.name)
    await probe(deps)
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(true)
  })

  it('are counted from zero after any answer, also a refusal', async () => {
    for (const replies of [[cut, cut, cut, cut], [answer(400, {})], [cut, cut, cut, cut]]) {
      for (const reply of replies) {
        provider.play(reply)
        await submitOne()
      }
    }
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(true)
  })
})

it('an operator pauses all submitting, and resumes it', async () => {
  provider.play(accepted)
  const id = await seed.admitted()
  await setPaused(seed.database, upstream.name, true)
  await releaseAdmitted(seed.database, CONFIGURED)
  await submit(deps, id)
  expect(await seed.row(id)).toMatchObject({ status: 'queued', admittedAt: null })
  expect(await seed.row(await seed.admitted())).toMatchObject({ admittedAt: null })
  expect(creates()).toBe(0)
  await setPaused(seed.database, upstream.name, false)
  await seed.admitted()
  await submit(deps, id)
  expect(await statusOf(id)).toBe('processing')
})

it('a paused project submits nothing more, also what was to be repeated', async () => {
  provider.play(answer(429, {}, { 'retry-after': '0' }))
  const id = await submitOne()
  await seed.sql(`UPDATE upstream_gates SET hold_until = NULL`)
  await seed.sql(`UPDATE submissions SET retry_at = now()`)
  await pauseProject(seed.database, seed.projectId, true)
  provider.play(accepted)
  expect(await submit(deps, id)).toMatchObject({ kind: 'later' })
  expect(creates()).toBe(0)
  await pauseProject(seed.database, seed.projectId, false)
  await submit(deps, id)
  expect(await statusOf(id)).toBe('processing')
})

describe('the rate limit', () => {
  it('holds over all processes', async () => {
    const processes = Array.from({ length: 4 }, () => openDatabase(seed.url, console.error, 2))
    try {
      const taken = await Promise.all(
        Array.from({ length: 40 }, (_, n) => takeRequests(processes[n % 4] ?? seed.database, 'globalai', 3, 60)),
      )
      // The requests of ten seconds, and the requests that became free during the test.
      const sum = taken.reduce((total, one) => total + one)
      expect(sum).toBeGreaterThanOrEqual(10)
      expect(sum).toBeLessThan(40)
    } finally {
      await Promise.all(processes.map((database) => database.close()))
    }
  })

  it('holds for the free request that opens the gate, too', async () => {
    const limited = { ...deps, settings: { ...deps.settings, requestsPerMinute: 6 } }
    await seed.sql(
      `INSERT INTO upstream_gates (upstream, silences, unreachable_since, requests, requests_at) VALUES ('globalai', 5, now(), 0, now())`,
    )
    provider.play(answer(404, { error: 'no such task' }))
    await probe(limited)
    expect(provider.received).toHaveLength(0)
    await probe(deps)
    expect(provider.received).toHaveLength(1)
    expect((await readGate(seed.database, CONFIGURED.name)).isOpen).toBe(true)
  })

  it('delays submissions and polls, and loses none', async () => {
    const limited = { ...deps, settings: { ...deps.settings, requestsPerMinute: 6 } }
    provider.play(accepted)
    const first = await seed.admitted()
    const second = await seed.admitted()
    await submit(limited, first)
    expect(await statusOf(first)).toBe('processing')
    expect(await submit(limited, second)).toEqual({ kind: 'later', delayMs: 15_000 })
    expect(await statusOf(second)).toBe('queued')
    await seed.sql(`UPDATE generations SET due_at = now() WHERE id = $1`, [first])
    provider.play(answer(200, { id: 'x', status: 'processing' }))
    await runOnce(limited)
    expect(provider.received).toHaveLength(0)
    await seed.sql(`UPDATE upstream_gates SET requests_at = now() - interval '10 s'`)
    await runOnce(limited)
    expect(provider.received).toHaveLength(1)
  })
})
