// The two pipelines side by side: the same servers, the same provider and receiver, the same requests.

import { Redis } from 'ioredis'
import pg from 'pg'
import { type Outside, type RunningPipeline, startPipeline } from './children.ts'
import type { Servers } from './servers.ts'

export const NAMES = ['Reelqueue', 'plain'] as const
export type Name = (typeof NAMES)[number]

export interface Setting {
  /** False: requests are only accepted. */
  readonly works: boolean
  readonly pollMinMs: number
  readonly pollMaxMs: number
  /** How many generations may be in flight; the plain pipeline has no bound. */
  readonly slots: number
}

export const KEY = 'rq_bench_key_of_the_project_default'
export const SECRET = Buffer.alloc(32, 'b').toString('base64')

export const HEADERS = { authorization: `Bearer ${KEY}` }

/** Starts a pipeline on its own database, as one process. */
export async function start(
  name: Name,
  servers: Servers,
  outside: Outside,
  setting: Setting,
): Promise<RunningPipeline> {
  const env = {
    DATABASE_URL: databaseOf(name, servers),
    REDIS_URL: servers.redisUrl,
    UPSTREAM_BASE_URL: outside.report.providerUrl,
    UPSTREAM_API_KEY: setting.works ? 'key' : undefined,
  }
  if (name === 'plain') return await startPipeline('plain.ts', { ...env, POLL_EVERY_MS: String(setting.pollMinMs) })
  return await startPipeline('ours.ts', {
    ...env,
    SECRET_KEY: SECRET,
    BOOTSTRAP_API_KEY: KEY,
    BOOTSTRAP_WEBHOOK_SECRET: `whsec_${SECRET}`,
    PORT: '0',
    LOG_LEVEL: 'warn',
    WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8',
    UPSTREAM_MAX_IN_FLIGHT: String(setting.slots),
    POLL_INTERVAL_MIN_MS: String(setting.pollMinMs),
    POLL_INTERVAL_MAX_MS: String(setting.pollMaxMs),
  })
}

const databaseOf = (name: Name, servers: Servers) => (name === 'plain' ? servers.plainDatabaseUrl : servers.databaseUrl)

/** A request as a shop would send it, with a webhook to the receiver. */
export const requestOf = (outside: Outside, number: number) => ({
  ...lineOf(number),
  webhook_url: `${outside.report.receiverUrl}/hook`,
})

/** The same request as a line of a batch. */
export function lineOf(number: number) {
  return {
    model: 'openAiSora2Plus',
    prompt: `A product clip, number ${number}: a slow turn on a white table, soft light from the left, no text.`,
    seconds: 8,
    size: '1280x720',
    custom_id: `sku-${number}`,
    metadata: { sku: number, season: 'autumn' },
  }
}

export interface Bytes {
  readonly postgres: number
  readonly redis: number
}

/** The bytes stored at this moment. */
export async function bytesOf(name: Name, servers: Servers): Promise<Bytes> {
  const client = new pg.Client({ connectionString: databaseOf(name, servers) })
  await client.connect()
  const { rows } = await client.query('SELECT pg_database_size(current_database())::float8 AS bytes')
  await client.end()
  return { postgres: rows[0].bytes, redis: await redisBytes(servers) }
}

export async function redisBytes({ redisUrl }: Servers): Promise<number> {
  if (redisUrl === undefined) return 0
  const redis = new Redis(redisUrl)
  const memory = /used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]
  redis.disconnect()
  return Number(memory)
}
