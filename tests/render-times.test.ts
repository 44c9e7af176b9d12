// Statistics of finished clips, and their use: poll times, expected completion, and slow renders.

import { newId } from '@reelqueue/contract/terms/ids'
import { pollLimits } from '@reelqueue/shared/domain/poll-plan'
import { clipsFor, explorationShare, quantileMs, weightOf } from '@reelqueue/shared/domain/render-times'
import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { insertGenerations } from '@reelqueue/shared/store/intake/generations'
import {
  countSlowRenders,
  readRenderEstimate,
  readRenderTimes,
  recordRenders,
} from '@reelqueue/shared/store/lifecycle/render-stats'
import { addApiKey, newApiKey } from '@reelqueue/shared/store/projects'
import { createPollSchedules } from '@reelqueue/worker/poll-schedules'
import { submit } from '@reelqueue/worker/steps/submit'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { clientOf, generationOf, send } from './support/api.ts'
import { startPipeline } from './support/pipeline.ts'
import { runOnce } from './support/polling.ts'
import { answer, startScriptedUpstream } from './support/scripted-upstream.ts'
import { newGeneration, seedDatabase } from './support/seed.ts'
import { stepDeps } from './support/step-deps.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const S = 1_000
const seed = await seedDatabase()
const app = await startTestApp({ databaseUrl: seed.url, api: true })
const provider = await startScriptedUpstream()
const upstream = createGlobalAi({ baseUrl: provider.origin, apiKey: 'key', timeoutMs: 5_000 })
const key = newApiKey()
await addApiKey(seed.database, seed.projectId, 'tests', key)
const client = clientOf(app.url, key)
const POLL = pollLimits(undefined, undefined, 3_600_000, CONFIGURED.facts)
const deps = stepDeps(app, { poll: POLL })
const PROFILE = { model: newGeneration(seed.projectId).model, seconds: 8, size: '1280x720' }

afterAll(async () => {
  await app.close()
  await upstream.close()
  await provider.stop()
  await seed.close()
})

beforeEach(async () => {
  await seed.sql('DELETE FROM render_stats')
})

/** Completed clips with the given render times, each last seen pending some seconds before the end. */
async function completed(renderS: readonly number[], profile = PROFILE): Promise<string[]> {
  const rows = renderS.map(() => newGeneration(seed.projectId, profile))
  await insertGenerations(seed.database.prisma, rows)
  const ids = rows.map((row) => row.id)
  await seed.sql(
    `UPDATE generations g SET status = 'completed', upstream = $3, admitted_at = now(), video_url = 'https://v/1', video_url_expires_at = now(), finished_at = now(),
       submitted_at = now() - clip.seconds * interval '1 s', last_pending_at = now() - interval '5 s'
     FROM unnest($1::text[], $2::float8[]) AS clip (id, seconds) WHERE g.id = clip.id`,
    [ids, renderS, upstream.name],
  )
  return ids
}

/** A hundred clips of about three minutes. */
const usual = Array.from({ length: 100 }, (_, clip) => 160 + (clip % 41))

const rowOf = async (id: string) => {
  const [row] = await seed.sql<{ status: string; dueInMs: number; pollInMs: number }>(
    `SELECT status::text, extract(epoch FROM due_at - now())::float8 * 1000 AS "dueInMs",
       extract(epoch FROM due_at - submitted_at)::float8 * 1000 AS "pollInMs" FROM generations WHERE id = $1`,
    [id],
  )
  if (!row) throw new Error(`${id} is gone`)
  return row
}

/** An admitted generation with an id that makes its polls exploration polls, or not. */
async function admitted(isExploration: boolean): Promise<string> {
  for (;;) {
    const id = newId('generation')
    if ((explorationShare(id) !== null) === isExploration) return await seed.admitted({ ...PROFILE, id })
  }
}

describe('finished clips', () => {
  it('are kept for each render profile, and clips with an exploration poll count for more', async () => {
    const ids = await completed(usual)
    await recordRenders(seed.database, ids)
    await recordRenders(seed.database, await completed([30], { ...PROFILE, seconds: 4 }))
    const known = await readRenderTimes(seed.database, upstream.name)
    const times = known.find((one) => one.seconds === PROFILE.seconds)?.times ?? []
    expect(known).toHaveLength(2)
    const clips = ids.reduce((sum, id) => sum + clipsFor(id), 0)
    expect(clips).toBeGreaterThan(100)
    expect(weightOf(times)).toBeCloseTo((1 - 0.98 ** clips) / 0.02, 5)
    expect(quantileMs(times, 0.5)).toBeGreaterThan(165 * S)
    expect(quantileMs(times, 0.5)).toBeLessThan(195 * S)
    expect(await readRenderTimes(seed.database, 'another')).toEqual([])
  })

  it('are all kept when two workers record at once, and a histogram of other buckets starts empty', async () => {
    const ids = await completed(usual.slice(0, 40))
    await Promise.all([0, 10, 20, 30].map((from) => recordRenders(seed.database, ids.slice(from, from + 10))))
    const clips = ids.reduce((sum, id) => sum + clipsFor(id), 0)
    const weight = async () => weightOf((await readRenderEstimate(seed.database, upstream.name, PROFILE)).times)
    expect(await weight()).toBeCloseTo((1 - 0.98 ** clips) / 0.02, 5)
    await seed.sql(`UPDATE render_stats SET times = '{1,2,3}'`)
    expect(await weight()).toBe(0)
    const [one = ''] = ids
    await recordRenders(seed.database, [one])
    expect(await weight()).toBeCloseTo((1 - 0.98 ** clipsFor(one)) / 0.02, 5)
  })

  it('are counted one by one up to the last two hundred of a kind that are recorded together', async () => {
    const ids = await completed([...Array<number>(40).fill(600), ...Array<number>(200).fill(180)])
    await seed.sql(
      `UPDATE generations g SET finished_at = finished_at + at, submitted_at = submitted_at + at, last_pending_at = last_pending_at + at
       FROM (SELECT id, (place - 240) * interval '1 s' AS at FROM unnest($1::text[]) WITH ORDINALITY AS clip (id, place)) AS shifted
       WHERE g.id = shifted.id`,
      [ids],
    )
    const timesOf = async (recorded: readonly string[]) => {
      await seed.sql('DELETE FROM render_stats')
      await recordRenders(seed.database, recorded)
      return (await readRenderEstimate(seed.database, upstream.name, PROFILE)).times
    }
    const latest = await timesOf(ids.slice(40))
    expect(await timesOf(ids)).toEqual(latest)
    expect(await timesOf(ids.slice(39, -1))).not.toEqual(latest)
  })
})

describe('a schedule', () => {
  const made = async () => {
    const schedules = createPollSchedules(deps, upstream.name, POLL.known)
    await schedules.refresh()
    return schedules
  }

  it('is there for kinds of which enough is known, and follows what is learned', async () => {
    await recordRenders(seed.database, await completed(usual))
    const schedules = await made()
    const first = schedules.of(PROFILE)?.nextMs(0) ?? Number.NaN
    expect(first).toBeGreaterThan(140 * S)
    expect(first).toBeLessThan(200 * S)
    expect(schedules.of({ ...PROFILE, seconds: 4 })).toBeNull()
    await recordRenders(seed.database, await completed(usual.map((seconds) => seconds / 3)))
    expect(schedules.of(PROFILE)?.nextMs(0)).toBe(first)
    await schedules.refresh()
    expect(schedules.of(PROFILE)?.nextMs(0)).toBeLessThan(100 * S)
  })

  it('says when a generation is first polled, and an exploration poll comes before', async () => {
    await recordRenders(seed.database, await completed(usual))
    const { of: scheduleOf } = await made()
    const first = scheduleOf(PROFILE)?.nextMs(0) ?? Number.NaN
    const pollsIn = async (isExploration: boolean, using = scheduleOf) => {
      const id = await admitted(isExploration)
      provider.play(answer(200, { id: `sora_${id}`, object: 'video.generation', status: 'queued' }))
      await submit({ ...deps, upstream, scheduleOf: using }, id)
      return (await rowOf(id)).pollInMs
    }
    expect(await pollsIn(false)).toBeGreaterThanOrEqual(first)
    expect(await pollsIn(false)).toBeLessThan(first + 5 * S)
    expect(await pollsIn(true)).toBeLessThan(first * 0.96 + 5 * S)
    expect(await pollsIn(false, () => null)).toBeLessThan(35 * S)
  })

  it('says when one is asked about next', async () => {
    await recordRenders(seed.database, await completed(usual))
    const { of: scheduleOf } = await made()
    await seed.sql('UPDATE generations SET due_at = NULL')
    const id = await seed.processing(PROFILE)
    await seed.sql(`UPDATE generations SET submitted_at = now() - interval '60 s', due_at = now() WHERE id = $1`, [id])
    provider.play(answer(200, { id: 'x', object: 'video.generation', status: 'processing' }))
    await runOnce({ ...deps, upstream, scheduleOf })
    const expected = scheduleOf(PROFILE)?.nextMs(60 * S) ?? Number.NaN
    expect(expected).toBeGreaterThan(60 * S)
    expect(Math.abs((await rowOf(id)).dueInMs - expected)).toBeLessThan(8 * S)
  })

  it('is obeyed by a worker', async () => {
    const pipeline = await startPipeline({
      backend: 'postgres',
      workers: 0,
      speed: 1,
      env: { POLL_INTERVAL_MAX_MS: '600000' },
    })
    await pipeline.api.database.prisma.$executeRaw`
      INSERT INTO render_stats (upstream, model, seconds, size, clips, render_ms, priced, amount, times)
      SELECT ${upstream.name}, ${PROFILE.model}, 0, '', 50, 50, 0, 0, ${weights(170)}::float8[]`
    const id = await pipeline.post('')
    await pipeline.startWorker()
    const row = async () => await pipeline.api.database.prisma.generation.findUniqueOrThrow({ where: { id } })
    await expect.poll(async () => (await row()).status, { timeout: 20_000 }).toBe('processing')
    // Without statistics, or before the worker has read the statistics, the next poll is a tenth of a second away;
    // afterwards as long as clips take.
    await until('its next poll is far off', async () => {
      const { dueAt, submittedAt } = await row()
      return (dueAt?.getTime() ?? 0) - (submittedAt?.getTime() ?? 0) > 40 * S
    })
    await pipeline.close()
  })
})

/** Weights of clips of about the given length in seconds. */
function weights(seconds: number): number[] {
  const place = Math.floor(Math.log(seconds) / Math.log(1.025))
  const length = Math.ceil(Math.log(14_400) / Math.log(1.025))
  return Array.from({ length }, (_, index) => (Math.abs(index - place) < 3 ? 10 : 0))
}

describe('a generation that renders', () => {
  const read = async (id: string) => generationOf(await client.get(`/v1/generations/${id}`))
  const rendering = async (forSeconds: number) => {
    const id = await seed.processing(PROFILE)
    await seed.sql(`UPDATE generations SET submitted_at = now() - $2 * interval '1 s' WHERE id = $1`, [id, forSeconds])
    return id
  }
  const inS = (at: string | null | undefined) => (Date.parse(at ?? '') - Date.now()) / S
  const slow = async () => {
    const { text } = await send('GET', `${app.url}/metrics`, undefined, app.login)
    return Number(/^reelqueue_generations_slow (\d+)$/m.exec(text)?.[1])
  }

  it('is promised nothing by a kind that nothing is known of', async () => {
    expect(await read(await rendering(1_000))).toMatchObject({
      estimated_completion_at: null,
      slower_than_usual: false,
    })
    expect(await slow()).toBe(0)
  })

  it('is likely to be done when half of those are that took as long', async () => {
    await recordRenders(seed.database, await completed(usual))
    const early = await read(await rendering(60))
    expect(inS(early.estimated_completion_at)).toBeGreaterThan(105)
    expect(inS(early.estimated_completion_at)).toBeLessThan(135)
    expect(early.slower_than_usual).toBe(false)
    const late = await read(await rendering(190))
    expect(inS(late.estimated_completion_at)).toBeGreaterThan(0)
    expect(inS(late.estimated_completion_at)).toBeLessThan(20)
  })

  it('is slow when 99 of 100 took less, and says so; it is counted for operators', async () => {
    await seed.sql(
      `UPDATE generations SET status = 'cancelled', due_at = NULL, finished_at = now() WHERE status = 'processing'`,
    )
    await recordRenders(seed.database, await completed(usual))
    await rendering(180)
    expect([await countSlowRenders(seed.database), await slow()]).toEqual([0, 0])
    const id = await rendering(260)
    expect(await read(id)).toMatchObject({ estimated_completion_at: null, slower_than_usual: true })
    expect([await countSlowRenders(seed.database), await slow()]).toEqual([1, 1])
  })

  it('is not the only one that has a future: what is about to be submitted has, and what has ended has none', async () => {
    const ids = await completed(usual)
    await recordRenders(seed.database, ids)
    const soon = await read(await admitted(false))
    expect(inS(soon.estimated_completion_at)).toBeGreaterThan(160)
    expect(soon).not.toHaveProperty('slower_than_usual')
    expect(await read(ids[0] ?? '')).not.toHaveProperty('estimated_completion_at')
  })
})
