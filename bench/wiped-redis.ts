// Redis is wiped while many generations render: the time until every generation has been polled again, and until the last webhook. The
// plain pipeline would never poll again: its schedulers are gone.

import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { type Outside, startOutside } from './children.ts'
import { HEADERS, redisBytes, requestOf, start } from './contestants.ts'
import type { Report } from './outside.ts'
import { sendMany } from './requests.ts'
import type { Servers } from './servers.ts'

const WAIT_MAX_MS = 300_000

export interface Recovery {
  readonly inFlight: number
  /** In Redis, for each generation in flight. */
  readonly redisBytesPerGeneration: number
  /** From the wipe until each generation has been polled. */
  readonly askedSeconds: number
  /** From the wipe, when all renders end too, to the last webhook. */
  readonly toldSeconds: number
}

export async function benchWipe(servers: Servers, inFlight: number): Promise<Recovery | null> {
  if (servers.redisUrl === undefined) return null
  const outside = await startOutside()
  await outside.tell({ do: 'begin', rendering: { kind: 'held' } })
  const setting = { works: true, pollMinMs: 10_000, pollMaxMs: 15_000, slots: inFlight }
  const pipeline = await start('Reelqueue', servers, outside, setting)
  const redis = new Redis(servers.redisUrl)
  try {
    const before = await redisBytes(servers)
    await sendMany(pipeline.url, inFlight, '/v1/generations', 202, HEADERS, (number) => requestOf(outside, number))
    await until(outside, (report) => report.created >= inFlight)
    const redisBytesPerGeneration = ((await redisBytes(servers)) - before) / inFlight
    await redis.flushall()
    await outside.tell({ do: 'release' })
    const wipedAt = performance.now()
    const since = () => (performance.now() - wipedAt) / 1_000
    await until(outside, (report) => report.askedSinceRelease >= inFlight)
    const askedSeconds = since()
    await until(outside, (report) => report.webhooks >= inFlight)
    return { inFlight, redisBytesPerGeneration, askedSeconds, toldSeconds: since() }
  } finally {
    redis.disconnect()
    await pipeline.stop()
    await outside.stop()
    await servers.empty('Reelqueue')
  }
}

async function until(outside: Outside, isSo: (report: Report) => boolean): Promise<void> {
  const startedAt = performance.now()
  for (;;) {
    const report = await outside.tell({ do: 'report' })
    if (isSo(report)) return
    if (performance.now() - startedAt > WAIT_MAX_MS) {
      const { created, askedSinceRelease, webhooks } = report
      throw new Error(
        `not within ${WAIT_MAX_MS / 1_000} s: ${JSON.stringify({ created, askedSinceRelease, webhooks })}`,
      )
    }
    await delay(50)
  }
}
