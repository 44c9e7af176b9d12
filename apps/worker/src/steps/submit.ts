// The paid step. The intent is committed before the POST; whatever comes back, or does not, is recorded after it.

import { setTimeout as delay } from 'node:timers/promises'
import { FAILURES } from '@reelqueue/shared/domain/failure'
import { firstPollMs, RENDER_MAX_MS } from '@reelqueue/shared/domain/poll-plan'
import { submitBackoffMs } from '@reelqueue/shared/domain/submission'
import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import {
  beginSubmission,
  type Intent,
  type Settled,
  type SubmissionResult,
  settleSubmission,
} from '@reelqueue/shared/store/submissions'
import type { UpstreamDeps } from '../deps.ts'

/** Beyond the request's own time: how long a silent worker is waited for before its submission counts as unknown. */
const LEASE_MARGIN_MS = 30_000
/** A worker that was paused for longer than this after its intent does not POST: its lease may be running out. */
const INTENT_AGE_MAX_MS = 5_000
/** Longer waits are left to reconcile. */
const LATER_MAX_MS = 60_000
/** How often an outcome without a task id is tried to be recorded: the lease then says the same. */
const RECORD_TRIES = 12

export async function submit(deps: UpstreamDeps, generationId: string): Promise<StepOutcome> {
  const beganAt = performance.now()
  const leaseMs = deps.settings.upstreamTimeoutMs + LEASE_MARGIN_MS
  const begun = await beginSubmission(deps.database, generationId, deps.upstream.name, leaseMs)
  switch (begun.kind) {
    case 'moved_on':
      return { kind: 'done' }
    case 'wait':
      return begun.waitMs <= LATER_MAX_MS ? { kind: 'later', delayMs: begun.waitMs } : { kind: 'done' }
    case 'expired':
      return follow(deps, generationId, await settle(deps, begun.submissionId, EXPIRED), 0)
    case 'begun': {
      const { intent } = begun
      const late = performance.now() - beganAt > INTENT_AGE_MAX_MS
      const result = late ? GIVEN_UP : await pay(deps, intent)
      const settled = await settle(deps, intent.submissionId, result)
      const durationMs = Math.round(performance.now() - beganAt)
      const code = result.kind === 'accepted' ? null : result.code
      deps.log.info({
        event: 'submit.settled',
        generationId,
        submissionId: intent.submissionId,
        attempt: intent.number,
        outcome: result.kind,
        code,
        status: settled.status,
        durationMs,
      })
      return follow(deps, generationId, settled, result.kind === 'rejected' ? result.backoffMs : 0)
    }
  }
}

const EXPIRED: SubmissionResult = {
  kind: 'unknown',
  code: 'lease_expired',
  message: 'The worker that submitted fell silent before it recorded an answer.',
  httpStatus: null,
}

const GIVEN_UP: SubmissionResult = {
  kind: 'rejected',
  code: 'given_up_before_post',
  message: FAILURES.given_up_before_post,
  httpStatus: null,
  retryable: true,
  backoffMs: 0,
}

async function pay({ upstream, random }: UpstreamDeps, intent: Intent): Promise<SubmissionResult> {
  const outcome = await upstream.submit(intent.request)
  if (outcome.kind !== 'rejected') return outcome
  const { retryAfterMs, ...refusal } = outcome
  return { ...refusal, backoffMs: submitBackoffMs(intent.number, retryAfterMs, random()) }
}

/** Records an outcome. One with a task id is tried for as long as Postgres is away: lost, it has been paid for nothing. */
async function settle(deps: UpstreamDeps, submissionId: string, result: SubmissionResult): Promise<Settled> {
  const options = { firstPollMs: firstPollMs(deps.settings.poll), renderMaxMs: RENDER_MAX_MS }
  for (let tries = 1; ; tries++) {
    try {
      return await settleSubmission(deps.database, submissionId, result, options)
    } catch (error) {
      const upstreamTaskId = result.kind === 'accepted' ? result.taskId : null
      deps.log.error({
        event: 'submit.unrecorded',
        submissionId,
        outcome: result.kind,
        upstreamTaskId,
        tries,
        err: error,
      })
      if (result.kind !== 'accepted' && tries === RECORD_TRIES) throw error
      await delay(Math.min(250 * 2 ** tries, 10_000))
    }
  }
}

function follow(deps: UpstreamDeps, generationId: string, settled: Settled, backoffMs: number): StepOutcome {
  deps.queues.wakeOwed(settled.moved)
  if (settled.status === 'failed' || settled.status === 'cancelled') deps.admit()
  if (settled.status !== 'submitting') return { kind: 'done' }
  deps.log.info({ event: 'submit.again', generationId, backoffMs })
  return backoffMs <= LATER_MAX_MS ? { kind: 'later', delayMs: backoffMs } : { kind: 'done' }
}
