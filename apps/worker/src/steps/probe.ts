// Opens the gate again that unanswered submissions have closed: asks for something that costs nothing, until it is answered.

import { silentTrialWaitMs } from '@reelqueue/shared/domain/gate-signal'
import type { PollAnswer } from '@reelqueue/shared/providers/port'
import { pause } from '@reelqueue/shared/runtime/clock'
import { openHalf, readGate, takeRequests, tryNow } from '@reelqueue/shared/store/submitting-gate'
import type { UpstreamDeps } from '../deps.ts'

/** Between looks at the gate, give or take a fifth: an outage that is over should not be waited for any longer. */
const LOOK_MS = 5_000
/** The same while it is closed: an outage of seconds costs seconds. */
const PROBE_MS = 1_000
/** No provider names a task so. */
export const NO_TASK = 'reelqueue-probe'

/** Looks every few seconds, until `signal` aborts. */
export async function probeForever(deps: UpstreamDeps, signal: AbortSignal): Promise<void> {
  try {
    await tryNow(deps.database, deps.upstream.name)
    deps.admit()
  } catch (error) {
    deps.log.error({ event: 'probe.failed', err: error })
  }
  while (!signal.aborted) {
    let isClosed = false
    try {
      isClosed = await probe(deps)
    } catch (error) {
      deps.log.error({ event: 'probe.failed', err: error })
    }
    await pause((isClosed ? PROBE_MS : LOOK_MS) * (0.8 + 0.4 * deps.random()), signal)
  }
}

/** @returns whether the gate is still closed for silence */
export async function probe({ database, upstream, log, admit, settings, isProven }: UpstreamDeps): Promise<boolean> {
  const { unreachableForMs, silentTrials } = await readGate(database)
  if (unreachableForMs === null) return false
  if (unreachableForMs < silentTrialWaitMs(silentTrials, isProven())) return true
  const { requestsPerMinute } = settings
  if (requestsPerMinute !== undefined && (await takeRequests(database, upstream.name, 1, requestsPerMinute)) === 0)
    return true
  const answer = await upstream.poll(NO_TASK)
  if (!isAnswered(answer)) return true
  // Of several workers that were answered one admits: each would spend a submission.
  if (await openHalf(database, upstream.name)) {
    log.info({ event: 'gate.opened' })
    admit()
  }
  return false
}

const SILENT = /^upstream_(unreachable|timeout|connection_lost|unreadable|answer_too_large|http_5\d\d)$/

/** An error page of the provider's gateway is no sign of life; that it knows no such task is one, in whatever words. */
function isAnswered(answer: PollAnswer): boolean {
  return answer.kind !== 'unavailable' || !SILENT.test(answer.code)
}
