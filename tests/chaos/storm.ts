// A chaos run on one backend, from the first process to the verdict.

import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { prepareDatabase } from '@reelqueue/shared/migrate/prepare-database'
import { closedPort } from '../support/webhook-endpoint.ts'
import { bundleEntries } from './bundle.ts'
import { judge } from './checks/all.ts'
import { createClients } from './clients.ts'
import { diceOf } from './dice.ts'
import { readAnswers, readTables } from './evidence.ts'
import { planStorm, rage, USUAL_MISBEHAVIOUR } from './faults.ts'
import { createNoisyTenant, storeNoisyProject } from './noisy.ts'
import { createOperators, OPERATOR_PASSWORD } from './operators.ts'
import type { StormOptions } from './options.ts'
import { startPostgresServer } from './postgres-server.ts'
import { startProvider } from './provider.ts'
import { startReceiver } from './receiver.ts'
import { waitForRecovery } from './recovery.ts'
import { startRedisServer } from './redis-server.ts'
import { killsOf, type Report } from './report.ts'
import { createSupervisor } from './supervisor.ts'

const KEY = 'rq_chaos_key_of_the_project_default'
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 'c').toString('base64')}`
const WORKERS = 3
const APIS = 2
/** The share of kills at random moments; the remaining kills happen at crash points. */
const RANDOM_KILLS = 0.35
/** How far kills at crash points may run ahead of their share of the storm. */
const MINES_AHEAD = 3
const PATIENCE_MS = 300_000
/** Generations of the clients for each generation of the noisy tenant. */
const NOISE_SHARE = 2

const SETTINGS = {
  SECRET_KEY: Buffer.alloc(32, 's').toString('base64'),
  OPERATOR_PASSWORD,
  BOOTSTRAP_API_KEY: KEY,
  BOOTSTRAP_WEBHOOK_SECRET: WEBHOOK_SECRET,
  WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8',
  UPSTREAM_API_KEY: 'chaos-upstream-key',
  UPSTREAM_TIMEOUT_MS: '2000',
  // A generation with an unknown submission keeps its slot for half an hour.
  UPSTREAM_MAX_IN_FLIGHT: '100000',
  POLL_INTERVAL_MIN_MS: '200',
  POLL_INTERVAL_MAX_MS: '1000',
  RECONCILE_INTERVAL_MS: '1000',
  // Short enough that outages delay renders beyond the deadline: the late success must still be settled.
  GENERATION_DEADLINE_MS: '20000',
}

export async function runStorm(options: StormOptions, say: (line: string) => void): Promise<Report> {
  const stops: (() => Promise<void>)[] = []
  try {
    return await stormWith(options, say, stops)
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

/** Starts the servers of a storm, and registers a stop function for each. */
async function build({ backend, seed }: StormOptions, stops: (() => Promise<void>)[]) {
  const entries = await bundleEntries()
  stops.push(() => entries.remove())
  const postgres = await startPostgresServer()
  stops.push(() => postgres.close())
  const redis = backend === 'redis' ? await startRedisServer() : null
  if (redis) stops.push(() => redis.close())
  const provider = await startProvider(seed)
  stops.push(() => provider.close())
  const receiver = await startReceiver(WEBHOOK_SECRET, diceOf(seed, `${backend} receiver`))
  stops.push(() => receiver.close())
  await prepareDatabase(postgres.directUrl())
  await storeNoisyProject(postgres.directUrl(), SETTINGS.SECRET_KEY, WEBHOOK_SECRET)
  const apiPorts = await Promise.all(Array.from({ length: APIS }, () => closedPort()))
  return { entries, postgres, redis, provider, receiver, apiPorts }
}

async function stormWith(
  options: StormOptions,
  say: (line: string) => void,
  stops: (() => Promise<void>)[],
): Promise<Report> {
  const { seed, backend, kills } = options
  const stormMs = options.minutes * 60_000
  const dice = (part: string) => diceOf(seed, `${backend} ${part}`)
  const folder = await mkdtemp(join(tmpdir(), `reelqueue-chaos-${backend}-`))
  const { entries, postgres, redis, provider, receiver, apiPorts } = await build(options, stops)
  const urls = apiPorts.map((port) => `http://127.0.0.1:${port}`)
  const storm = planStorm(dice('plan'), redis !== null, stormMs, kills * RANDOM_KILLS)
  const beganAt = performance.now()
  const supervisor = createSupervisor({
    entries,
    dice: dice('supervisor'),
    folder,
    env: {
      ...SETTINGS,
      DATABASE_URL: postgres.url,
      UPSTREAM_BASE_URL: provider.url,
      ...(redis && { REDIS_URL: redis.url }),
    },
    workers: WORKERS,
    apiPorts,
    mayMine: (killed) => killed < (kills * (performance.now() - beganAt)) / stormMs + MINES_AHEAD,
  })
  stops.push(() => supervisor.close())
  const clients = createClients(dice('clients'), urls, KEY, receiver.url)
  const operators = createOperators(dice('operators'), urls, KEY, clients.accepted, provider.records)
  const noisy = createNoisyTenant(dice('noisy'), urls, receiver.url)
  const stopStorm = new AbortController()
  stops.push(async () => stopStorm.abort())

  receiver.misbehave(USUAL_MISBEHAVIOUR)
  say(`storm of ${options.minutes} min on ${backend}, seed ${seed}; logs in ${folder}`)
  const surroundings = { postgres, redis, provider, receiver, supervisor }
  const [faults] = await Promise.all([
    rage(storm, surroundings, dice('faults'), stopStorm.signal),
    operators.run(stopStorm.signal),
    noisy.run(options.generations / NOISE_SHARE, stopStorm.signal),
    clients
      .run(options.generations, stormMs, () => killsOf(supervisor).total >= kills)
      .finally(() => stopStorm.abort()),
  ])

  say(`the storm is over: ${clients.accepted.length} requests accepted; healing`)
  receiver.misbehave(0)
  await provider.endFaults()
  await supervisor.calm()
  say('only processes that nothing kills are left')
  await noisy.leave()
  const unfinished = await waitForRecovery({ databaseUrl: postgres.directUrl(), patienceMs: PATIENCE_MS, say })
  const tables = await readTables(postgres.directUrl())
  await supervisor.close()

  const evidence = {
    ...tables,
    received: await provider.records(),
    polls: await provider.polls(),
    accepted: [...clients.accepted, ...noisy.accepted],
    wrongAnswers: clients.wrong,
    receipts: receiver.receipts,
    unverified: receiver.refused,
    answers: await readAnswers(supervisor.lives),
    lives: supervisor.lives,
    unfinished,
  }
  const violations = judge(evidence)
  const [repeated, done, noise] = [clients.repeated(), operators.done, noisy.done]
  return { options, folder, evidence, violations, faults, repeated, operators: done, noise }
}
