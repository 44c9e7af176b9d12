// What the answer to a submission means for the gate of all submissions.

import type { GateSignal } from '@reelqueue/shared/domain/gate-signal'
import { releaseAdmitted } from '@reelqueue/shared/store/admission/admission'
import { noteAcceptance, noteAnswer, noteFailure } from '@reelqueue/shared/store/admission/gate-answers'
import { hold } from '@reelqueue/shared/store/admission/submitting-gate'
import type { Intent } from '@reelqueue/shared/store/lifecycle/submissions'
import type { UpstreamDeps } from '../deps.ts'

/** A failure counts this many times while the base URL may be wrong. */
const UNPROVEN_WEIGHT = 3

/**
 * Tells the gate the meaning of this answer for all other submissions. A failure here must not prevent recording the
 * answer.
 */
export async function tellGate(
  deps: UpstreamDeps,
  signal: GateSignal,
  intent: Intent,
  isAccepted = false,
): Promise<void> {
  if (signal.kind === 'answered' && !intent.isAfterFailure) return
  // All submissions write the same row: without turns, writers waiting for the row lock would take every connection.
  await deps.batches.singleRow(() => writeGate(deps, signal, intent, isAccepted))
}

async function writeGate(deps: UpstreamDeps, signal: GateSignal, intent: Intent, isAccepted: boolean): Promise<void> {
  const { database, upstream, log, afterCommit, isProven } = deps
  try {
    switch (signal.kind) {
      case 'answered':
        await (isAccepted ? noteAcceptance(database, upstream) : noteAnswer(database, upstream.name))
        afterCommit({ admissionDue: true })
        return
      case 'failure':
        if (await noteFailure(database, upstream.name, intent.isAfterFailure, isProven() ? 1 : UNPROVEN_WEIGHT)) {
          // Release the admitted generations, so that only generations admitted for the trial are submitted.
          log.error({ event: 'gate.closed', cause: 'unreachable', released: await releaseAdmitted(database, upstream) })
        }
        return
      case 'hold':
        await hold(database, upstream.name, signal.forMs)
        log.warn({ event: 'gate.cooling_down', forMs: signal.forMs })
        return
      case 'refusal':
        // The refusal is counted in the transaction that records the outcome (store/lifecycle/refusals.ts). The refusal shows
        // that the provider is reachable.
        if (intent.isAfterFailure) await noteAnswer(database, upstream.name)
    }
  } catch (error) {
    log.error({ event: 'gate.unrecorded', signal: signal.kind, err: error })
  }
}

/** After a refusal closed the gate, admitted generations give back their slots. */
export async function releaseOthers(
  deps: UpstreamDeps,
  { class: cause, refusal }: GateSignal & { kind: 'refusal' },
): Promise<void> {
  const { database, upstream, log } = deps
  try {
    const released = await releaseAdmitted(database, upstream)
    log.error({ event: 'gate.closed', cause, refusal, released })
  } catch (error) {
    log.error({ event: 'gate.unrecorded', signal: 'refusal', err: error })
  }
}
