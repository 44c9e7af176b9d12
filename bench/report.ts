// The table of a whole run, in Markdown: the measurements, and their ratios.

import type { Name } from './contestants.ts'
import type { Ingested } from './ingest.ts'
import type { Comparison } from './poll-simulation.ts'
import type { Timing } from './requests.ts'
import type { Measured } from './side-by-side.ts'
import type { Recovery } from './wiped-redis.ts'

export interface Result {
  readonly size: { readonly accepts: number; readonly generations: number; readonly history: number }
  readonly sideBySide: Readonly<Record<Name, Measured>>
  readonly ingest: Ingested
  readonly wipe: Recovery | null
  readonly list: Timing
  /** By the distribution of render times. */
  readonly polling: Readonly<Record<string, Comparison>>
}

const whole = (value: number) => Math.round(value).toLocaleString('en')
const fine = (value: number) => value.toFixed(1)
const cents = (value: number) => value.toFixed(2)

export function tableOf({ size, sideBySide, ingest, wipe, list, polling }: Result): string {
  const { Reelqueue: ours, plain } = sideBySide
  const both = (what: string, read: (one: Measured) => number | null, write: (value: number) => string): string[] => {
    const [one, other] = [read(ours), read(plain)]
    if (one === null || other === null) return [what, '–', '–', '–']
    return [what, write(one), write(other), other === 0 ? '–' : `${cents(one / other)}x`]
  }
  const rows = [
    ['', 'Reelqueue', 'plain pipeline', 'ratio'],
    ['---', '---:', '---:', '---:'],
    both(`single requests/s, 50 connections, ${whole(size.accepts)}`, (one) => one.acceptsPerSecond, whole),
    both('the same, p50 ms', (one) => one.acceptP50Ms, fine),
    both('the same, p99 ms', (one) => one.acceptP99Ms, fine),
    both(`generations/s to the webhook, ${whole(size.generations)}`, (one) => one.generationsPerSecond, whole),
    both('CPU ms for each generation, with Postgres and Redis', (one) => one.cpuMsPerGeneration, cents),
    both('bytes in Postgres for each', (one) => one.postgresBytesPerGeneration, whole),
    both('bytes in Redis for each', (one) => one.redisBytesPerGeneration, whole),
    both('polls for each', (one) => one.pollsPerGeneration, cents),
    both('webhooks that came twice', (one) => one.webhooksRepeated, whole),
    [
      `JSON Lines/s of ${whole(ingest.lines)}, beside createMany`,
      whole(ingest.ours),
      whole(ingest.createMany),
      `${cents(ingest.ours / ingest.createMany)}x`,
    ],
    [
      `list of a project among ${whole(size.history)}, p50 and p99 ms`,
      `${fine(list.p50Ms)}, ${fine(list.p99Ms)}`,
      '–',
      '–',
    ],
  ]
  if (wipe) {
    const words = `Redis wiped with ${whole(wipe.inFlight)} in flight: all asked about after, s`
    rows.push([words, fine(wipe.askedSeconds), 'never', '–'])
    rows.push(['the same, last webhook after, s', fine(wipe.toldSeconds), 'never', '–'])
    rows.push(['bytes in Redis for each in flight', whole(wipe.redisBytesPerGeneration), '–', '–'])
  }
  for (const [name, { plan, 'every 30 s': fixed }] of Object.entries(polling)) {
    const [one, other] = [plan.lagMs / 1_000, fixed.lagMs / 1_000]
    rows.push([`simulated, ${name}: mean lag, s`, fine(one), fine(other), `${cents(one / other)}x`])
    const ratio = `${cents(plan.requests / fixed.requests)}x`
    rows.push(['the same, polls for each clip', fine(plan.requests), fine(fixed.requests), ratio])
  }
  return rows.map((row) => `| ${row.join(' | ')} |`).join('\n')
}
