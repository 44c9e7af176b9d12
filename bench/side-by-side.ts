// Reelqueue beside the plain pipeline: single requests, and the whole way from the request to the webhook. The pipelines take turns, so
// that other load on the machine affects both.

import { setTimeout as delay } from 'node:timers/promises'
import { type Outside, startOutside } from './children.ts'
import { bytesOf, HEADERS, NAMES, type Name, requestOf, start } from './contestants.ts'
import { cpuSeconds } from './cpu.ts'
import { median, sendMany } from './requests.ts'
import type { Servers } from './servers.ts'

const ROUNDS = 3
/** Sent before the measurement, for code that is not compiled yet and connections that are not open yet. */
const WARM_UP = 3_000
const POLL_MS = 1_000
/** A pipeline still running after this time will never end. */
const END_MAX_MS = 300_000

export interface Measured {
  readonly acceptsPerSecond: number
  readonly acceptP50Ms: number
  readonly acceptP99Ms: number
  readonly generationsPerSecond: number
  /** Null where there is no /proc. */
  readonly cpuMsPerGeneration: number | null
  readonly postgresBytesPerGeneration: number
  readonly redisBytesPerGeneration: number
  readonly pollsPerGeneration: number
  readonly webhooksRepeated: number
}

/** The median of three rounds for each pipeline. */
export async function benchSideBySide(
  servers: Servers,
  accepts: number,
  generations: number,
): Promise<Record<Name, Measured>> {
  const rounds: Record<Name, Measured[]> = { Reelqueue: [], plain: [] }
  for (let round = 1; round <= ROUNDS; round++) {
    for (const name of NAMES) {
      const measured = {
        ...(await acceptOnly(name, servers, accepts)),
        ...(await toTheWebhook(name, servers, generations)),
      }
      rounds[name].push(measured)
      console.log(
        `Round ${round}, ${name}: ${Math.round(measured.acceptsPerSecond)} accepts/s, ${Math.round(measured.generationsPerSecond)} generations/s`,
      )
    }
  }
  return { Reelqueue: medians(rounds.Reelqueue), plain: medians(rounds.plain) }
}

function medians(rounds: readonly Measured[]): Measured {
  const of = (read: (round: Measured) => number) => median(rounds.map(read))
  const cpu = rounds.flatMap((round) => round.cpuMsPerGeneration ?? [])
  return {
    acceptsPerSecond: of((round) => round.acceptsPerSecond),
    acceptP50Ms: of((round) => round.acceptP50Ms),
    acceptP99Ms: of((round) => round.acceptP99Ms),
    generationsPerSecond: of((round) => round.generationsPerSecond),
    cpuMsPerGeneration: cpu.length === 0 ? null : median(cpu),
    postgresBytesPerGeneration: of((round) => round.postgresBytesPerGeneration),
    redisBytesPerGeneration: of((round) => round.redisBytesPerGeneration),
    pollsPerGeneration: of((round) => round.pollsPerGeneration),
    webhooksRepeated: of((round) => round.webhooksRepeated),
  }
}

async function acceptOnly(name: Name, servers: Servers, count: number) {
  const outside = await startOutside()
  const pipeline = await start(name, servers, outside, {
    works: false,
    pollMinMs: POLL_MS,
    pollMaxMs: POLL_MS,
    slots: 1,
  })
  const send = (many: number) =>
    sendMany(pipeline.url, many, '/v1/generations', 202, HEADERS, (number) => requestOf(outside, number))
  await send(WARM_UP)
  const { perSecond, p50Ms, p99Ms } = await send(count)
  await pipeline.stop()
  await outside.stop()
  await servers.empty(name)
  return { acceptsPerSecond: perSecond, acceptP50Ms: p50Ms, acceptP99Ms: p99Ms }
}

async function toTheWebhook(name: Name, servers: Servers, count: number) {
  const outside = await startOutside()
  const setting = { works: true, pollMinMs: POLL_MS, pollMaxMs: POLL_MS, slots: 100_000 }
  const pipeline = await start(name, servers, outside, setting)
  await run(outside, pipeline.url, Math.min(WARM_UP, count))
  const pids = [pipeline.pid, ...servers.pids]
  const [bytesBefore, cpuBefore] = [await bytesOf(name, servers), await cpuSeconds(pids)]
  const { seconds, polls, repeated } = await run(outside, pipeline.url, count)
  const [bytes, cpu] = [await bytesOf(name, servers), await cpuSeconds(pids)]
  await pipeline.stop()
  await outside.stop()
  await servers.empty(name)
  return {
    generationsPerSecond: count / seconds,
    cpuMsPerGeneration: cpu === null || cpuBefore === null ? null : ((cpu - cpuBefore) * 1_000) / count,
    postgresBytesPerGeneration: (bytes.postgres - bytesBefore.postgres) / count,
    redisBytesPerGeneration: Math.max(0, bytes.redis - bytesBefore.redis) / count,
    pollsPerGeneration: polls / count,
    webhooksRepeated: repeated,
  }
}

/** Sends `count` requests and waits for the last webhook. */
async function run(outside: Outside, url: string, count: number) {
  await outside.tell({ do: 'begin', rendering: { kind: 'instant' } })
  const startedAt = performance.now()
  await sendMany(url, count, '/v1/generations', 202, HEADERS, (number) => requestOf(outside, number))
  for (;;) {
    const report = await outside.tell({ do: 'report' })
    const ms = performance.now() - startedAt
    if (report.webhooks >= count) return { seconds: ms / 1_000, polls: report.polls, repeated: report.repeated }
    if (ms > END_MAX_MS) throw new Error(`${report.webhooks} of ${count} webhooks came within ${END_MAX_MS / 1_000} s`)
    await delay(20)
  }
}
