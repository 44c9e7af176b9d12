// A worker with few connections: an answer with a task id is recorded before all other work.

import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import { submit } from '@reelqueue/worker/steps/submit'
import { afterAll, expect, it } from 'vitest'
import { type Act, reset, startScriptedUpstream } from './support/scripted-upstream.ts'
import { seedDatabase } from './support/seed.ts'
import { stepDeps } from './support/step-deps.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const CONNECTIONS = 4
const UNKNOWN = 12

const seed = await seedDatabase()
const app = await startTestApp({
  databaseUrl: seed.url,
  env: { DATABASE_CONNECTIONS_MAX: String(CONNECTIONS) },
})
const provider = await startScriptedUpstream()
const upstream = createGlobalAi({ baseUrl: provider.origin, apiKey: 'key', timeoutMs: 60_000 })
const deps = { ...stepDeps(app, { upstreamTimeoutMs: 60_000 }), upstream }
afterAll(async () => {
  await app.close()
  await upstream.close()
  await provider.stop()
  await seed.close()
})

const isAccepted = ([, { body }]: Parameters<Act>) => body.includes('accepted')

/** Statements of the app that wait for a lock. */
async function waiting(): Promise<number> {
  const [row] = await seed.sql<{ count: number }>(
    `SELECT count(*)::int AS count FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'reelqueue' AND wait_event_type = 'Lock'`,
  )
  return row?.count ?? 0
}

it.each([
  ['their own rows', (ids: string[]) => `SELECT 1 FROM generations WHERE id = ANY ('{${ids}}') FOR UPDATE`],
  ['the row of the gate', () => `SELECT 1 FROM upstream_gates FOR UPDATE`],
])('records a task id while settlements of unknown outcomes wait for %s', async (_, lock) => {
  await seed.sql(`INSERT INTO upstream_gates (upstream) VALUES ('globalai')
    ON CONFLICT (upstream) DO UPDATE SET silences = 0, unreachable_since = NULL`)
  const held: Parameters<Act>[] = []
  provider.play((...one) => held.push(one))
  const unknown = await Promise.all(Array.from({ length: UNKNOWN }, () => seed.admitted()))
  const accepted = await seed.admitted({ prompt: 'accepted' })
  const running = [...unknown, accepted].map((id) => submit(deps, id))
  await until('the provider has all of them', () => held.length === running.length)
  await seed.holding(lock(unknown), async () => {
    for (const one of held) if (!isAccepted(one)) reset(...one)
    await until('settlements wait', async () => (await waiting()) === CONNECTIONS / 2)
    held.find(isAccepted)?.[0].end(JSON.stringify({ id: `sora_${accepted}` }))
    await until('the task id is recorded', async () => (await seed.row(accepted)).upstreamTaskId !== null)
    expect(await waiting()).toBe(CONNECTIONS / 2)
  })
  await Promise.all(running)
  for (const id of unknown) expect(await seed.row(id)).toMatchObject({ errorCode: 'submission_unknown' })
})
