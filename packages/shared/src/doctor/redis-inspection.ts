// Redis's own report for the doctor: asked once, over a separate connection, within a bounded time.

import { RedisConnection } from 'bullmq'
import { Redis } from 'ioredis'
import { tryEverything } from '../queues/redis-trial.ts'
import { withTimeout } from '../runtime/clock.ts'
import type { Unreachable } from './finding.ts'
import type { RedisFacts } from './redis-findings.ts'

/** How long a start waits for a hanging Redis. */
const ANSWER_TIMEOUT_MS = 2_500

/** Asks Redis; never throws for any behaviour of Redis or the network. */
export async function inspectRedis(url: string): Promise<RedisFacts | Unreachable> {
  // No ready check: a loading Redis answers INFO, and must be distinguished from a silent Redis.
  const redis = new Redis(url, {
    lazyConnect: true,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  })
  // `connect` itself rejects with only "Connection is closed".
  let trouble: Error | undefined
  redis.on('error', (error) => {
    trouble ??= error
  })
  try {
    return await withTimeout(ask(redis), ANSWER_TIMEOUT_MS, 'Redis')
  } catch (error) {
    // A server without TLS takes the handshake for an incomplete command and keeps waiting.
    const how = url.startsWith('rediss:') ? ' (asked over TLS)' : ''
    return { unreachable: `${describe(trouble ?? error)}${how}` }
  } finally {
    redis.disconnect()
  }
}

async function ask(redis: Redis): Promise<RedisFacts> {
  await redis.connect()
  const info = parseInfo(await redis.info())
  const product = info.has('valkey_version') ? 'Valkey' : info.has('dragonfly_version') ? 'Dragonfly' : 'Redis'
  const versionField = `${product.toLowerCase()}_version`
  const mode = modeOf(info)
  const evictionPolicy = info.get('maxmemory_policy') ?? (await readSetting(redis, 'maxmemory-policy'))
  return {
    product,
    version: info.get(versionField) ?? null,
    versionMin: RedisConnection.minimumVersion,
    versionAdvised: RedisConnection.recommendedMinimumVersion,
    mode,
    mastersOfCluster: mode === 'cluster' ? await countMasters(redis) : null,
    // A Sentinel and a replica hold no jobs, whatever commands they allow.
    refused: mode === 'sentinel' || info.get('role') === 'slave' ? [] : await tryEverything(redis),
    memory: memoryOf(info),
    isReplica: info.get('role') === 'slave',
    isLoading: info.get('loading') === '1',
    evictionPolicy,
    persists: info.get('aof_enabled') === '1' ? true : await readSnapshots(redis),
  }
}

function modeOf(info: ReadonlyMap<string, string>): RedisFacts['mode'] {
  const mode = info.get('redis_mode') ?? info.get('server_mode')
  if (mode === 'sentinel') return 'sentinel'
  return mode === 'cluster' || info.get('cluster_enabled') === '1' ? 'cluster' : 'standalone'
}

/** How many masters of the Cluster have slots; null when Redis does not say. */
async function countMasters(redis: Redis): Promise<number | null> {
  const text = await redis.cluster('INFO').catch(() => '')
  const size = parseInfo(text).get('cluster_size')
  return size === undefined ? null : Number(size)
}

/** Null where memory has no limit of its own. */
function memoryOf(info: ReadonlyMap<string, string>): RedisFacts['memory'] {
  const [usedBytes, maxBytes] = [Number(info.get('used_memory')), Number(info.get('maxmemory'))]
  return maxBytes > 0 && usedBytes >= 0 ? { usedBytes, maxBytes } : null
}

/** Whether Redis saves snapshots; null when Redis does not say. */
async function readSnapshots(redis: Redis): Promise<boolean | null> {
  const save = await readSetting(redis, 'save')
  return save === null ? null : save !== ''
}

/** A single setting; null where a managed service forbids CONFIG. */
async function readSetting(redis: Redis, name: string): Promise<string | null> {
  const reply: unknown = await redis.config('GET', name).catch(() => null)
  const value: unknown = Array.isArray(reply) ? reply[1] : null
  return typeof value === 'string' ? value : null
}

/** INFO's lines `name:value`. */
function parseInfo(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split(/\r?\n/).flatMap((line) => {
      const colon = line.indexOf(':')
      return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1)] as const] : []
    }),
  )
}

function describe(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(describe).join('; ')
  return error instanceof Error ? error.message : String(error)
}
