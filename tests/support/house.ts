// A whole house of a test's own, made of the very parts that `npm start` uses: API, worker, or both, on a real Postgres.
// Every house knows the same key and secrets, so several may stand on one database, as processes would.

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Queues } from '@reelqueue/shared/queues/queues'
import { loadConfig, type VariableName } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import type { Database } from '@reelqueue/shared/store/database'
import { startApi } from '../../bin/api.ts'
import { bootstrapProject } from '../../bin/bootstrap.ts'
import { type House, openHouse } from '../../bin/house.ts'
import { startWorkerIn } from '../../bin/worker.ts'

const KEY = 'rq_test_key_of_the_project_default'
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 'w').toString('base64')}`
const OPERATOR_PASSWORD = 'operator-password'
const SECRET_KEY = Buffer.alloc(32, 's').toString('base64')

export interface HouseOptions {
  /** A database of the test's own (`createDatabase`). */
  readonly databaseUrl: string
  /** Absent: the queues run on Postgres. */
  readonly redisUrl?: string
  /** Overrides; nothing else of the environment is read. Without `UPSTREAM_API_KEY` nothing is admitted or submitted. */
  readonly env?: Partial<Record<VariableName, string>>
  readonly api?: boolean
  readonly worker?: boolean
}

export interface TestHouse {
  /** Where the API answers, without a trailing slash. @throws Error when the house has no API */
  readonly url: string
  /** An API key of the project `default`. */
  readonly key: string
  /** Signs the webhooks of the project `default`. */
  readonly webhookSecret: string
  /** The headers with which an operator logs in. */
  readonly login: Readonly<Record<string, string>>
  readonly database: Database
  readonly queues: Queues
  /** What configures it, but for where its Postgres and Redis are. */
  readonly environment: Readonly<Record<string, string>>
  /** The parts themselves, to start more on top of them. */
  readonly house: House
  /** Every log line so far, also after `close`. */
  logLines(): Promise<Record<string, unknown>[]>
  /** Stops in order, as a signal does: the work under way ends first. */
  close(): Promise<void>
}

/** Starts what is asked for, on a port the system chose. */
export async function startHouse({ databaseUrl, redisUrl, env, api, worker }: HouseOptions): Promise<TestHouse> {
  const folder = await mkdtemp(join(tmpdir(), 'reelqueue-house-'))
  const logFile = join(folder, 'house.log')
  const environment: Record<string, string> = {
    PORT: '0',
    SECRET_KEY,
    OPERATOR_PASSWORD,
    BOOTSTRAP_API_KEY: KEY,
    BOOTSTRAP_WEBHOOK_SECRET: WEBHOOK_SECRET,
    WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8',
    LOG_LEVEL: 'debug',
    ...env,
  }
  const config = loadConfig({ ...environment, DATABASE_URL: databaseUrl, REDIS_URL: redisUrl })
  const house = openHouse(config, createLogger(config.LOG_LEVEL, logFile))
  await bootstrapProject(house)
  const runningApi = api ? await startApi(house) : undefined
  const runningWorker = worker ? startWorkerIn(house) : undefined
  let logged: string | undefined

  return {
    get url() {
      if (!runningApi) throw new Error('this house has no API')
      return runningApi.url
    },
    key: KEY,
    webhookSecret: WEBHOOK_SECRET,
    login: { authorization: `Basic ${btoa(`operator:${environment.OPERATOR_PASSWORD}`)}` },
    environment,
    database: house.database,
    queues: house.queues,
    house,
    async logLines() {
      const text = logged ?? (await readFile(logFile, 'utf8'))
      return text
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    },
    async close() {
      if (logged !== undefined) return
      await Promise.all([runningApi?.close(), runningWorker?.close()])
      await house.close()
      logged = await readFile(logFile, 'utf8')
      await rm(folder, { recursive: true, force: true })
    },
  }
}
