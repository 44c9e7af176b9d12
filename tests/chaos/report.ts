// The report of a chaos run: the faults, their consequences, and every broken guarantee.

import type { Violation } from './checks/all.ts'
import { signedUntil } from './checks/answers.ts'
import { CRASH_POINTS } from './crash-points.ts'
import { type Evidence, groupBy } from './evidence.ts'
import { commandOf, type StormOptions } from './options.ts'

export interface Report {
  readonly options: StormOptions
  /** The folder of the processes' logs. */
  readonly folder: string
  readonly evidence: Evidence
  readonly violations: readonly Violation[]
  readonly faults: ReadonlyMap<string, number>
  /** Tries of clients that ended without a 202. */
  readonly repeated: number
  readonly operators: ReadonlyMap<string, number>
  /** The noisy tenant's actions, by action and answer. */
  readonly noise: ReadonlyMap<string, number>
}

/** For each check. */
const VIOLATIONS_SHOWN = 5
const LOST = ['acceptedIsARow', 'everythingHasEnded', 'oneRowForEachKey']
const PAID_TWICE = ['paidOnce', 'eachAttemptIsSubmittedOnce']

/** Processes killed at work: by the supervisor, and at their own crash points. */
export function killsOf({ lives }: Pick<Evidence, 'lives'>) {
  const killed = lives.filter((life) => life.atWork && life.exit === 'SIGKILL')
  const byPoint = groupBy(killed, (life) => life.point)
  return { total: killed.length, byPoint, atRandom: killed.filter((life) => life.point === null).length }
}

export function summaryOf(report: Report): string {
  const { options, evidence, violations, faults, repeated, operators, noise, folder } = report
  const { generations, batches, submissions, events, received, polls, receipts, lives } = evidence
  const kills = killsOf(evidence)
  const points = CRASH_POINTS.map((point) => `${point} ${kills.byPoint.get(point)?.length ?? 0}`)
  const broken = (names: readonly string[]) => violations.filter((one) => names.includes(one.check)).length
  const restarts = lives.filter((life) => !life.atWork).length
  const unknown = generations.filter((row) => row.errorCode === 'submission_unknown').length
  return [
    `chaos on ${options.backend}: seed ${options.seed}, ${options.minutes} min`,
    `  generations   ${generations.length} (${batches.length} batches): ${countsOf(generations, (row) => row.status)}`,
    `  failures      ${countsOf(generations, (row) => row.errorCode)}`,
    `  attempts      ${generations.filter((row) => row.attempt > 1).length} generations retried, ${submissions.filter((row) => row.isAdopted).length} tasks adopted`,
    `  ledger        ${submissions.length}: ${countsOf(submissions, (row) => row.state)}`,
    `  provider      ${received.length} requests, ${received.filter((one) => one.taskId !== null).length} tasks: ${countsOf(received, (one) => one.outcome)}`,
    `  polls         ${Object.entries(polls)
      .sort(([, one], [, other]) => other - one)
      .map(([outcome, count]) => `${outcome} ${count}`)
      .join(', ')}`,
    `  links         ${generations.filter((row) => signedUntil(row.videoUrl) !== null).length} signed for an hour`,
    `  webhooks      ${receipts.length} received, ${new Set(receipts.map((one) => one.webhookId)).size} different, of ${events.length} events`,
    `  kills         ${kills.total}: ${kills.atRandom} at random moments, ${kills.total - kills.atRandom} at points`,
    `  points        ${points.join(', ')}`,
    `  other ends    ${lives.filter((life) => life.endedBy === 'stop').length} stops in order, ${restarts} before they worked`,
    `  faults        ${[...faults].map(([name, count]) => `${name} ${count}`).join(', ')}`,
    `  clients       ${repeated} tries without a 202, each repeated with its key`,
    `  operators     ${listOf(operators)}`,
    `  noisy tenant  ${listOf(noise)}`,
    `  lost ${broken(LOST)}, paid twice ${broken(PAID_TWICE)}, unknown ${unknown}, violations ${violations.length}`,
    ...[...groupBy(violations, (one) => one.check)].flatMap(([check, all]) => [
      `  VIOLATED ${check}: ${all.length}`,
      ...all.slice(0, VIOLATIONS_SHOWN).map(({ message }) => `    ${message}`),
    ]),
    ...(violations.length > 0 ? [`  logs in ${folder}; again: ${commandOf(options)}`] : []),
  ].join('\n')
}

const listOf = (counts: ReadonlyMap<string, number>) =>
  [...counts].map(([what, count]) => `${what}: ${count}`).join(', ')

/** `name n` for each name, the most frequent name first. */
function countsOf<T>(rows: readonly T[], name: (row: T) => string | null): string {
  const counts = [...groupBy(rows, name)].map(([one, all]) => [one, all.length] as const)
  return (
    counts
      .sort(([, one], [, other]) => other - one)
      .map(([one, count]) => `${one} ${count}`)
      .join(', ') || 'none'
  )
}
