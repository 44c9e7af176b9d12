// The reply to the commit of an intent is lost. The worker knows that nothing was sent, so the submission is abandoned
// with certainty, whether the commit succeeded or not, and never recorded as unknown.

import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import { recordUnsent } from '@reelqueue/shared/store/lifecycle/record-outcome'
import { submit } from '@reelqueue/worker/steps/submit'
import { afterAll, expect, it } from 'vitest'
import { attemptsOn, lockOf, UNKNOWN } from './support/attempts.ts'
import { startRelay } from './support/relay.ts'
import { answer, startScriptedUpstream } from './support/scripted-upstream.ts'
import { beginRequestFor, SETTLING, seedDatabase } from './support/seed.ts'
import { stepDeps } from './support/step-deps.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const seed = await seedDatabase()
const attempts = attemptsOn(seed)
const url = new URL(seed.url)
const relay = await startRelay({ host: url.hostname, port: Number(url.port) })
url.host = `127.0.0.1:${relay.port}`
const app = await startTestApp({ databaseUrl: url.href })
const provider = await startScriptedUpstream()
const upstream = createGlobalAi({ baseUrl: provider.origin, apiKey: 'key', timeoutMs: 60_000 })
const deps = { ...stepDeps(app, { upstreamTimeoutMs: 60_000 }), upstream }
afterAll(async () => {
  await app.close()
  await relay.cut()
  await upstream.close()
  await provider.stop()
  await seed.close()
})

const GIVEN_UP = {
  kind: 'rejected',
  code: 'given_up_before_post',
  message: 'nothing was sent',
  httpStatus: null,
  retryable: true,
  backoffMs: 1_000,
} as const
const giveUp = (begin: ReturnType<typeof beginRequestFor>) => recordUnsent(seed.database, begin, GIVEN_UP, SETTLING)

it.each([
  ['the shared intents of several', 5, 1],
  ['an intent of its own', 1, 2],
])('a lost answer to the commit of %s leaves nothing unknown, and nothing sent', async (_, count, attempt) => {
  provider.play(answer(200, { id: 'sora_paid_twice' }))
  const ids = await Promise.all(Array.from({ length: count }, () => seed.admitted()))
  await seed.sql('UPDATE generations SET attempt = $1 WHERE id = ANY ($2)', [attempt, ids])
  // For a second attempt the shared statement commits first and begins nothing, so the second COMMIT belongs to the
  // intent.
  const swallowed = relay.swallowAt('COMMIT', attempt)
  const running = Promise.all(ids.map((id) => submit(deps, id)))
  await swallowed
  for (const id of ids)
    await until('its intent is committed', async () => (await seed.row(id)).submissions[0]?.state === 'started')
  relay.serve()
  relay.reset()
  expect(await running).toEqual(ids.map(() => ({ kind: 'later', delayMs: expect.any(Number) })))
  expect(provider.received).toEqual([])
  for (const id of ids) {
    const row = await seed.row(id)
    expect(row).toMatchObject({ status: 'submitting', mayBeCharged: false })
    expect(row.submissions).toMatchObject([{ state: 'rejected', errorCode: 'given_up_before_post' }])
  }
  const again = ids.map((id) => `sora_${id}`)
  provider.play(...again.map((id) => answer(200, { id })))
  await seed.sql('UPDATE submissions SET retry_at = now()')
  for (const id of ids) expect(await submit(deps, id)).toEqual({ kind: 'done' })
  expect(provider.received).toHaveLength(count)
})

it('an intent that was not committed is none: the failure stays what it was', async () => {
  const id = await seed.admitted()
  expect(await giveUp(beginRequestFor(id))).toBeNull()
  expect((await seed.row(id)).status).toBe('queued')
})

it('waits for a commit that is still under way, and gives up what it brought', async () => {
  const id = await seed.admitted()
  const begin = beginRequestFor(id)
  const { givingUp } = await seed.holding(lockOf(id), async (sql) => {
    await sql(
      `INSERT INTO submissions (id, generation_id, upstream, attempt, lease_until) VALUES ($1, $2, 'globalai', 1, now() + interval '1 minute')`,
      [begin.submissionId, id],
    )
    await sql(`UPDATE generations SET status = 'submitting', current_submission_id = $1 WHERE id = $2`, [
      begin.submissionId,
      id,
    ])
    const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
    const started = giveUp(begin)
    await until('it waits', async () => (await seed.sql(waiting)).length > 0)
    return { givingUp: started }
  })
  expect(await givingUp).toMatchObject({ status: 'submitting' })
  expect((await seed.row(id)).submissions).toMatchObject([{ id: begin.submissionId, state: 'rejected' }])
})

it.each([
  ['unknown', UNKNOWN],
  ['accepted', { kind: 'accepted', taskId: 'sora_lost_commit' }],
] as const)('changes nothing of a submission that somebody has recorded as %s', async (state, result) => {
  const { id, submissionId } = await seed.submitting()
  await attempts.recordResult(submissionId, result)
  expect(await giveUp({ generationId: id, submissionId })).toEqual({ status: 'unchanged', moved: [] })
  expect((await seed.row(id)).submissions).toMatchObject([{ state }])
})
