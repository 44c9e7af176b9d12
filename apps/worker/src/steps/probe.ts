// Half-opens the gate after unanswered submissions closed the gate: sends a free request until the provider answers.

import { silentTrialWaitMs } from '@reelqueue/shared/domain/gate-signal'
import { pause } from '@reelqueue/shared/runtime/clock'
import { openHalf } from '@reelqueue/shared/store/admission/gate-answers'
import { takeRequests } from '@reelqueue/shared/store/admission/request-rate'
import { readGate, tryNow } from '@reelqueue/shared/store/admission/submitting-gate'
import type { UpstreamDeps } from '../deps.ts'

/** Time between two looks at the gate, ±20 %: the end of an outage should be noticed soon. */
const LOOK_MS = 5_000
/** The same while the gate is closed: an outage of seconds costs seconds. */
const PROBE_MS = 1_000

/** Looks every few seconds, until `signal` aborts. */
export async function probeForever(deps: UpstreamDeps, signal: AbortSignal): Promise<void> {
  try {
    await tryNow(deps.database, deps.upstream.name)
    deps.afterCommit({ admissionDue: true })
  } catch (error) {
    deps.log.error({ event: 'gate.probe_failed', err: error })
  }
  while (!signal.aborted) {
    let isClosed = false
    try {
      isClosed = await probe(deps)
    } catch (error) {
      deps.log.error({ event: 'gate.probe_failed', err: error })
    }
    await pause((isClosed ? PROBE_MS : LOOK_MS) * (0.8 + 0.4 * deps.random()), signal)
  }
}

/** @returns whether the gate is still closed because the provider was unreachable */
export async function probe({
  database,
  upstream,
  log,
  afterCommit,
  settings,
  isProven,
}: UpstreamDeps): Promise<boolean> {
  const { unreachableForMs, silentTrials } = await readGate(database, upstream.name)
  if (unreachableForMs === null) return false
  if (unreachableForMs < silentTrialWaitMs(silentTrials, isProven())) return true
  const { requestsPerMinute } = settings
  if (requestsPerMinute !== undefined && (await takeRequests(database, upstream.name, 1, requestsPerMinute)) === 0)
    return true
  const { kind } = await upstream.ping()
  if (kind === 'silent' || kind === 'unclear') return true
  // Only one of several workers admits: each admission would spend a submission.
  if (await openHalf(database, upstream.name)) {
    log.info({ event: 'gate.half_opened' })
    afterCommit({ admissionDue: true })
  }
  return false
}
