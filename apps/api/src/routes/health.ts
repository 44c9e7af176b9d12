// Liveness and readiness. Readiness names the failing part; a lost queue delays work but loses none.

import type { ReadinessCheck as Check } from '@reelqueue/contract/wire/readiness'
import { explainRedisRefusal } from '@reelqueue/shared/domain/redis-refusal'
import { type PollsSeen, pollsRefusedSince } from '@reelqueue/shared/domain/refused-polls'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { withTimeout } from '@reelqueue/shared/runtime/clock'
import { type Gate, readGate } from '@reelqueue/shared/store/admission/submitting-gate'
import { createWriteTest, type Overdue, overdueWork } from '@reelqueue/shared/store/operator/health'
import { countKeptSlots, type KeptSlots, readPollsSeen } from '@reelqueue/shared/store/operator/metrics'
import { AWAY, whyUnavailable } from '@reelqueue/shared/store/unavailable'
import { countUnstorable, type UnstorableCount } from '@reelqueue/shared/store/unstorable'
import type { ApiDeps, ApiSettings } from '../deps.ts'
import { shareLooks } from '../share-looks.ts'
import type { Serve } from '../typed-app.ts'

const PROBE_TIMEOUT_MS = 2_000
/** Work is overdue after several rounds of reconcile. */
const OVERDUE_ROUNDS = 4
const OVERDUE_MIN_MS = 60_000
/** Polls refused for this long are a lasting fault: rendering generations would fail at the deadline. */
const POLLS_REFUSED_MS = 300_000

export const overdueToleranceMs = ({ reconcileIntervalMs }: ApiSettings) =>
  Math.max(OVERDUE_MIN_MS, OVERDUE_ROUNDS * reconcileIntervalMs)

export function healthRoutes(serve: Serve<'anyone'>, { database, backend, settings }: ApiDeps): void {
  const testWrite = createWriteTest(database)
  const look = shareLooks(async () => {
    const [overdue, writing, queue, gate, kept, polls, unstorable] = await Promise.all([
      probe(async () => overdueWork(database, overdueToleranceMs(settings))),
      probe(testWrite),
      probe(async () => backend.ping()),
      probe(async () => readGate(database, CONFIGURED.name)),
      probe(async () => countKeptSlots(database)),
      probe(async () => readPollsSeen(database)),
      probe(async () => countUnstorable(database)),
    ])
    const { since, ...pollsCheck } = checkPolls(polls)
    const arePollsRefused = since !== null && Date.now() - since.getTime() >= POLLS_REFUSED_MS
    const checks = {
      postgres: overdue.error ?? writing.error ?? { ok: true, detail: 'answers, and can be written to' },
      queue: queue.error ?? { ok: true, detail: `${backend.name} takes jobs` },
      work: overdue.error
        ? { ok: false, detail: 'unknown while Postgres is down' }
        : workCheck(overdue.value, unstorable.value),
      upstream: settings.hasUpstreamKey
        ? gateCheck(gate, kept.value)
        : { ok: false, detail: 'UPSTREAM_API_KEY is not set: requests are kept, nothing is submitted' },
      polls: pollsCheck,
    }
    return { checks, isWorking: checks.queue.ok && checks.work.ok && !arePollsRefused }
  })
  serve('getHealth', async () => ({ status: 'ok' as const }))

  serve('getReadiness', async ({ query }, reply) => {
    const { checks, isWorking } = await look()
    const ready = checks.postgres.ok && (query.for === 'accept' || isWorking)
    if (!ready) reply.header('retry-after', '5')
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not_ready', checks })
  })
}

function checkPolls({ value, error }: Probed<PollsSeen>): Check & { readonly since: Date | null } {
  if (error) return { ok: false, detail: 'unknown while Postgres is down', since: null }
  const since = pollsRefusedSince(value)
  if (since === null) return { ok: true, detail: 'not refused', since }
  const { refused, asked, httpStatus } = value
  const what = `the provider refuses polls since ${since.toISOString()} (HTTP ${httpStatus}, ${refused} of ${asked} tasks in flight)`
  return { ok: false, detail: `${what}: check UPSTREAM_API_KEY and UPSTREAM_BASE_URL`, since }
}

function gateCheck({ value, error }: Probed<Gate>, kept: KeptSlots | null): Check {
  if (error) return { ok: false, detail: 'unknown while Postgres is down' }
  const { isOpen, pausedAt, pausedReason, unreachableSince, holdUntil } = value
  const slots = keptSlots(kept)
  if (isOpen) return { ok: true, detail: ['UPSTREAM_API_KEY is set', slots].filter(Boolean).join('; ') }
  const at = (instant: Date | null) => instant?.toISOString()
  const reasons = [
    pausedAt &&
      (pausedReason === null
        ? `submitting was paused by an operator at ${at(pausedAt)}`
        : `submitting was paused by a start at ${at(pausedAt)}: ${pausedReason}; POST /admin/submitting/resume lets it go on`),
    refusalReason(value),
    unreachableSince &&
      `no submission was answered as by the provider since ${at(unreachableSince)}: it is down, or UPSTREAM_BASE_URL is wrong`,
    holdUntil && `the provider asked to wait until ${at(holdUntil)}`,
    slots,
  ]
  return { ok: false, detail: reasons.filter(Boolean).join('; ') }
}

const WHAT_TO_DO: Readonly<Record<string, readonly [what: string, toDo: string]>> = {
  account: ['the provider refused the account', 'check UPSTREAM_API_KEY and the balance'],
  configuration: ['the answer is not that of the provider', 'check UPSTREAM_BASE_URL'],
  request: [
    'the provider refused several requests in a row with the same words',
    'check UPSTREAM_BASE_URL, the account and the models',
  ],
}

function refusalReason({ refusal, refusalClass, refusalRetryAt }: Gate): string | null {
  if (refusalClass === null) return null
  const [what, toDo] = WHAT_TO_DO[refusalClass] ?? ['the provider refuses', 'see the log']
  const when =
    refusalRetryAt && refusalRetryAt > new Date()
      ? `one submission is tried at ${refusalRetryAt.toISOString()}`
      : 'one submission is being tried'
  return `${what} ("${refusal}"): ${toDo}; ${when}`
}

/** Null when no slot is kept. */
function keptSlots(kept: KeptSlots | null): string | null {
  if (kept === null || kept.until === null) return null
  const { unknown, cancelled, overdue, retried, until } = kept
  const causes = Object.entries({ unknown, cancelled, overdue, retried }).flatMap(([name, n]) =>
    n > 0 ? [`${n} ${name}`] : [],
  )
  const count = unknown + cancelled + overdue + retried
  return `${count} slots are kept for renders that nobody waits for (${causes.join(', ')}) until ${until} at the latest`
}

function workCheck({ count, stalled }: Overdue, unstorable: UnstorableCount | null): Check {
  if (stalled.length > 0) {
    const detail = `work of ${stalled.join(' and ')} is due, and no worker takes jobs of it: is a worker running, and does it reach the queue?`
    return { ok: false, detail }
  }
  if (count > 0) return { ok: false, detail: `${upToThousand(count)} rows are overdue: is a worker running?` }
  return { ok: true, detail: ['nothing is overdue', unstorableRows(unstorable)].filter(Boolean).join('; ') }
}

const upToThousand = (count: number) => (count >= 1_000 ? '1,000 or more' : String(count))

/** Does not affect readiness: an unstorable row stops no other row. */
function unstorableRows(unstorable: UnstorableCount | null): string | null {
  if (!unstorable?.since) return null
  const { count, since } = unstorable
  return `Postgres refuses to write ${upToThousand(count)} ${count === 1 ? 'row' : 'rows'} since ${since.toISOString()}: the log says why (row.unstorable)`
}

type Probed<T> = { readonly value: T; readonly error: null } | { readonly value: null; readonly error: Check }

async function probe<T>(ask: () => Promise<T>): Promise<Probed<T>> {
  try {
    return { value: await withTimeout(ask(), PROBE_TIMEOUT_MS, 'probe'), error: null }
  } catch (error) {
    // The page is public, so the reason contains no internal addresses or names.
    const message = error instanceof Error ? error.message : ''
    const [why, refusal] = [whyUnavailable(error), explainRedisRefusal(message)]
    if (refusal !== null) return { value: null, error: { ok: false, detail: `Redis ${refusal}` } }
    const detail = /no answer|timed out/.test(message)
      ? `no answer within ${PROBE_TIMEOUT_MS} ms`
      : why === null || why === 'unreachable'
        ? 'does not answer'
        : AWAY[why]
    return { value: null, error: { ok: false, detail } }
  }
}
