// A whole app for a test, made of the same parts as `npm start`: API, worker, or both, on a real Postgres. Every app uses the same key and
// secrets, so several apps may share a database, like processes.

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AppContext, openAppContext } from '@reelqueue/shared/app-context'
import type { Queues } from '@reelqueue/shared/queues/queues'
import { loadConfig, type VariableName } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import type { Database } from '@reelqueue/shared/store/database'
import { startApi } from '../../bin/api.ts'
import { bootstrapProject } from '../../bin/bootstrap.ts'
import { startWorkerIn } from '../../bin/worker.ts'

const KEY = 'rq_test_key_of_the_project_default'
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 'w').toString('base64')}`
const OPERATOR_PASSWORD = 'operator-password'
const SECRET_KEY = Buffer.alloc(32, 's').toString('base64')

export interface TestAppOptions {
  /** A private database of the test (`createDatabase`). */
  readonly databaseUrl: string
  /** Absent: the queues run on Postgres. */
  readonly redisUrl?: string
  /** Overrides; no other environment variable is read. Without `UPSTREAM_API_KEY` nothing is admitted or submitted. */
  readonly env?: Partial<Record<VariableName, string>>
  readonly api?: boolean
  readonly worker?: boolean
}

export interface TestApp {
  /** The base URL of the API, without a trailing slash. @throws Error when the app has no API */
  readonly url: string
  /** An API key of the project `default`. */
  readonly key: string
  /** Signs the webhooks of the project `default`. */
  readonly webhookSecret: string
  /** The headers of an operator's login. */
  readonly login: Readonly<Record<string, string>>
  readonly database: Database
  readonly queues: Queues
  /** The configuration, without the URLs of Postgres and Redis. */
  readonly environment: Readonly<Record<string, string>>
  /** The app context, for starting further parts. */
  readonly context: AppContext
  /** Every log line so far, also after `close`. */
  logLines(): Promise<Record<string, unknown>[]>
  /** Stops in order, like a signal: the running work ends first. */
  close(): Promise<void>
}

/** Starts the requested parts, on a port chosen by the system. */
export async function startTestApp({ databaseUrl, redisUrl, env, api, worker }: TestAppOptions): Promise<TestApp> {
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
  const context = openAppContext(config, createLogger(config.LOG_LEVEL, logFile))
  await bootstrapProject(context)
  const runningApi = api ? await startApi(context) : undefined
  const runningWorker = worker ? startWorkerIn(context) : undefined
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
    database: context.database,
    queues: context.queues,
    context,
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
      await context.close()
      logged = await readFile(logFile, 'utf8')
      await rm(folder, { recursive: true, force: true })
    },
  }
}
