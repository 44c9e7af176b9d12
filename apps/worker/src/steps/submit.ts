// The paid step. The intent is committed before the POST, and the outcome is recorded after the POST.

import { setTimeout as delay } from 'node:timers/promises'
import { FAILURES } from '@reelqueue/contract/terms/failure'
import { newId } from '@reelqueue/contract/terms/ids'
import { type GateSignal, gateSignal } from '@reelqueue/shared/domain/gate-signal'
import { firstPollMs } from '@reelqueue/shared/domain/poll-plan'
import { submitBackoffMs } from '@reelqueue/shared/domain/submission'
import type { SubmitOutcome } from '@reelqueue/shared/providers/port'
import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import { giveBackRequests, takeRequests } from '@reelqueue/shared/store/admission/request-rate'
import { UncertainCommit } from '@reelqueue/shared/store/database'
import {
  type RecordedOutcome,
  recordUnsent,
  type SubmissionResult,
} from '@reelqueue/shared/store/lifecycle/record-outcome'
import { completePreviousTask } from '@reelqueue/shared/store/lifecycle/retries'
import {
  type BeginRequest,
  type BeginResult,
  beginSubmission,
  type Intent,
} from '@reelqueue/shared/store/lifecycle/submissions'
import type { UpstreamDeps } from '../deps.ts'
import { recordResult, untilRecorded } from '../submitting/record-result.ts'
import { releaseOthers, tellGate } from '../submitting/tell-gate.ts'
import { isTaskKnown } from '../task-known.ts'

/**
 * Added to the time limit of the request: after this time without a record from the worker, the submission counts as
 * unknown.
 */
const LEASE_MARGIN_MS = 30_000

/** A worker paused for longer than this after the intent does not POST: the lease may be about to end. */
const INTENT_AGE_MAX_MS = 5_000

/** Minimum delay after the request limit was reached. */
const TURN_MIN_MS = 1_000

/** Limit of failed polls, over all tasks of previous attempts, before submitting without an answer. */
const UNAVAILABLE_MAX = 3

const ASK_AGAIN_MS = 500

/** Longer waits are left to reconcile. */
const LATER_MAX_MS = 60_000

export async function submit(deps: UpstreamDeps, generationId: string): Promise<StepOutcome> {
  const { requestsPerMinute } = deps.settings
  if (requestsPerMinute === undefined) return await submitNow(deps, generationId)
  const { database, upstream, batches } = deps
  const taken = await batches.singleRow(() => takeRequests(database, upstream.name, 1, requestsPerMinute))
  if (taken === 0) {
    // The delay is random, so waiting submissions do not all retry at the same moment.
    return { kind: 'later', delayMs: Math.max(TURN_MIN_MS, 60_000 / requestsPerMinute) * (1 + deps.random()) }
  }
  let sent = false
  const outcome = await submitNow(deps, generationId, () => {
    sent = true
  })
  if (!sent) await batches.singleRow(() => giveBackRequests(database, upstream.name, 1))
  return outcome
}

async function submitNow(deps: UpstreamDeps, generationId: string, onSending?: () => void): Promise<StepOutcome> {
  const request = { generationId, submissionId: newId('submission') }
  let begun: BeginResult
  try {
    begun = await begin(deps, request)
  } catch (error) {
    if (!(error instanceof UncertainCommit)) throw error
    return await giveUpUnsent(deps, request, error)
  }
  switch (begun.kind) {
    case 'moved_on':
    case 'ask_first':
      return { kind: 'done' }
    case 'held':
      // The admitter finds out when the gate opens, and admits then.
      deps.afterCommit({ admissionDue: true })
      return { kind: 'done' }
    case 'wait':
      return begun.waitMs <= LATER_MAX_MS ? { kind: 'later', delayMs: begun.waitMs } : { kind: 'done' }
    case 'expired':
      return follow(deps, generationId, await recordResult(deps, begun.submissionId, EXPIRED, 0), 0)
    case 'begun':
      onSending?.()
      return await payFor(deps, generationId, begun.intent)
  }
}

async function payFor(deps: UpstreamDeps, generationId: string, intent: Intent): Promise<StepOutcome> {
  const outcome = await pay(deps, intent)
  const signal = outcome === GIVEN_UP ? null : gateSignal(outcome)
  // Before this generation is queued again, so that the next submission does not meet the same refusal. Recording a
  // task id waits for nothing.
  if (signal && outcome.kind !== 'accepted') await tellGate(deps, signal, intent)
  const result = resultOf(deps, outcome, intent, signal)
  const pollAfterMs = firstPollMs(deps.scheduleOf(intent.request), generationId, deps.settings.poll)
  const recorded = await recordResult(deps, intent.submissionId, result, pollAfterMs)
  if (recorded.isGateClosed && signal?.kind === 'refusal') await releaseOthers(deps, signal)
  const durationMs = Math.round(performance.now() - intent.preparedAtMs)
  deps.log.info({
    event: 'submit.recorded',
    generationId,
    submissionId: intent.submissionId,
    attempt: intent.number,
    outcome: result.kind,
    ...(result.kind === 'accepted' ? { upstreamTaskId: result.taskId } : { code: result.code }),
    status: recorded.status,
    durationMs,
  })
  const next = follow(deps, generationId, recorded, result.kind === 'rejected' ? result.backoffMs : 0)
  // After the follow-up steps: checking the task may take a while, and may fail.
  if (outcome.kind === 'accepted') {
    const isTaken = !recorded.isDuplicate && (await isTaskKnown(deps, outcome.taskId))
    await tellGate(deps, { kind: isTaken ? 'answered' : 'failure' }, intent, isTaken)
  }
  return next
}

/** Begins a submission; a retry first polls the tasks of previous attempts for a finished video. */
async function begin(deps: UpstreamDeps, request: BeginRequest): Promise<BeginResult> {
  const { generationId } = request
  const { database, batches, upstream, log } = deps
  const leaseMs = deps.settings.upstreamTimeoutMs + LEASE_MARGIN_MS
  const asked: string[] = []
  let unavailable = 0
  for (;;) {
    const begun =
      asked.length === 0
        ? await batches.begin({ ...request, upstream: upstream.name, leaseMs })
        : await batches.singleRow(() => beginSubmission(database, request, upstream.name, leaseMs, asked))
    if (begun.kind !== 'ask_first') return begun
    const { taskId } = begun
    const answer = await upstream.poll(taskId)
    log.info({ event: 'submit.previous_task_polled', generationId, upstreamTaskId: taskId, answer: answer.kind })
    if (answer.kind === 'completed') {
      deps.afterCommit({ moved: await completePreviousTask(database, generationId, taskId, answer) })
      return { kind: 'moved_on' }
    }
    // A single bad answer does not justify paying again, so the poll is repeated.
    if (answer.kind === 'unavailable' && ++unavailable < UNAVAILABLE_MAX) await delay(ASK_AGAIN_MS * unavailable)
    else asked.push(taskId)
  }
}

const EXPIRED: SubmissionResult = {
  kind: 'unknown',
  code: 'lease_expired',
  message: 'The worker that submitted fell silent before it recorded an answer.',
  httpStatus: null,
}

const GIVEN_UP: SubmitOutcome & { readonly kind: 'rejected' } = {
  kind: 'rejected',
  class: 'unreachable',
  code: 'given_up_before_post',
  message: FAILURES.given_up_before_post,
  httpStatus: null,
  retryable: true,
  retryAfterMs: null,
}

async function pay({ upstream }: UpstreamDeps, intent: Intent): Promise<SubmitOutcome> {
  // INVARIANT: nothing is sent when the lease may be about to end: another worker may already record the outcome as
  // unknown.
  const late = performance.now() - intent.preparedAtMs > INTENT_AGE_MAX_MS
  return late ? GIVEN_UP : await upstream.submit(intent.request)
}

function resultOf(
  { random, upstream }: UpstreamDeps,
  outcome: SubmitOutcome,
  intent: Intent,
  signal: GateSignal | null,
): SubmissionResult {
  if (outcome.kind !== 'rejected') return outcome
  const { retryAfterMs, class: _, ...rejected } = outcome
  const refusal =
    signal?.kind === 'refusal'
      ? { refusal: { upstream: upstream.name, class: signal.class, key: signal.key, words: signal.refusal } }
      : {}
  return { ...rejected, ...refusal, backoffMs: submitBackoffMs(intent.number, retryAfterMs, random()) }
}

/** The reply to the intent's commit was lost. Committed or not, nothing was sent, and only this process knows. */
async function giveUpUnsent(deps: UpstreamDeps, request: BeginRequest, cause: UncertainCommit): Promise<StepOutcome> {
  const { database, batches, log, upstream } = deps
  const { class: _, retryAfterMs, ...rejected } = GIVEN_UP
  const result = { ...rejected, backoffMs: submitBackoffMs(1, retryAfterMs, deps.random()) }
  const options = { firstPollMs: 0, renderMaxMs: upstream.facts.renderMaxMs }
  const recorded = await untilRecorded(log, 'unsent', { ...request }, () =>
    batches.singleRow(() => recordUnsent(database, request, result, options)),
  )
  if (recorded === null) throw cause
  log.warn({ event: 'submit.unsent', ...request, status: recorded.status })
  return follow(deps, request.generationId, recorded, result.backoffMs)
}

function follow(deps: UpstreamDeps, generationId: string, recorded: RecordedOutcome, backoffMs: number): StepOutcome {
  // A new task exists, or a previous task is to be polled again.
  deps.afterCommit({ moved: recorded.moved, pollsDue: recorded.status !== 'submitting' })
  if (recorded.status !== 'submitting') return { kind: 'done' }
  deps.log.info({ event: 'submit.retry_scheduled', generationId, backoffMs })
  return backoffMs <= LATER_MAX_MS ? { kind: 'later', delayMs: backoffMs } : { kind: 'done' }
}
