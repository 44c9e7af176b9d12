// Why a generation is where it is: one pure function for the console, the API and the doctor.

import type { Status } from '@reelqueue/contract/terms/status'
import type { WhyCode } from '@reelqueue/contract/terms/why'

/** What the rule reads of a generation. */
export interface WhyRow {
  readonly status: Status
  readonly createdAt: Date
  readonly admittedAt: Date | null
  readonly submittedAt: Date | null
  readonly finishedAt: Date | null
  readonly cancelRequestedAt: Date | null
  readonly dueAt: Date | null
  /** A terminal answer of the provider is stored, and not yet carried out. */
  readonly hasAnswer: boolean
  readonly pollFailures: number
  /** The class of the last answer to a poll; null without one. */
  readonly lastPollClass: string | null
  readonly errorCode: string | null
}

/** The current submission of a generation. */
export interface WhySubmission {
  readonly state: 'started' | 'accepted' | 'rejected' | 'unknown'
  readonly startedAt: Date
  readonly leaseUntil: Date
  readonly retryAt: Date | null
}

/** What holds submitting, over all projects. */
interface WhyGate {
  readonly pausedAt: Date | null
  readonly refusalClass: string | null
  readonly refusalRetryAt: Date | null
  readonly unreachableSince: Date | null
  readonly holdUntil: Date | null
}

export interface WhyContext {
  readonly now: Date
  readonly gate: WhyGate
  readonly hasUpstreamKey: boolean
  readonly projectPausedAt: Date | null
  /** Whether a limit leaves no slot: of the project, of the model, of the upstream. */
  readonly isProjectFull: boolean
  readonly isModelFull: boolean
  readonly isFull: boolean
  /** Render times of its kind in ms: half, and 99 of 100, of the recent clips took no longer. Null: too few clips. */
  readonly typicalMs: number | null
  readonly slowMs: number | null
  /** Postgres refuses to write the row, since then. */
  readonly unstorableSince: Date | null
  readonly submission: WhySubmission | null
}

export interface Why {
  readonly code: WhyCode
  readonly since: Date | null
  /** When the state ends by itself; null without an estimate. */
  readonly until: Date | null
}

/** Failed polls in a row that are worth a word. */
const FAILING_POLLS = 3

/** Exactly one reason for each generation in each context. */
export function why(row: WhyRow, context: WhyContext): Why {
  const { status } = row
  if (status === 'completed' || status === 'cancelled') return because('ended', row.finishedAt)
  if (status === 'failed') {
    return row.dueAt !== null && !row.hasAnswer
      ? because('still_asked', row.finishedAt)
      : because('ended', row.finishedAt)
  }
  if (context.unstorableSince) return because('unstorable', context.unstorableSince)
  if (row.hasAnswer) return because('answer_waits', null)
  if (row.cancelRequestedAt) return because('cancel_requested', row.cancelRequestedAt)
  if (status === 'processing') return ofRender(row, context)
  if (status === 'submitting') return ofSubmission(row, context)
  const held = ofGate(context)
  if (held) return held
  if (context.projectPausedAt) return because('project_paused', context.projectPausedAt)
  if (row.admittedAt) return because('admitted', row.admittedAt)
  if (context.isProjectFull) return because('project_slots_full', null)
  if (context.isModelFull) return because('model_slots_full', null)
  if (context.isFull) return because('slots_full', null)
  return because('waiting_turn', row.createdAt)
}

/** What holds every submission; null when the gate is open. */
function ofGate({ now, gate, hasUpstreamKey }: Pick<WhyContext, 'now' | 'gate' | 'hasUpstreamKey'>): Why | null {
  if (!hasUpstreamKey) return because('no_upstream_key', null)
  if (gate.pausedAt) return because('paused_by_operator', gate.pausedAt)
  if (gate.refusalRetryAt) {
    const code = gate.refusalClass === 'account' ? 'account_refused' : 'requests_refused'
    return because(code, null, gate.refusalRetryAt > now ? gate.refusalRetryAt : null)
  }
  if (gate.unreachableSince) return because('provider_unreachable', gate.unreachableSince)
  if (gate.holdUntil && gate.holdUntil > now) return because('asked_to_wait', null, gate.holdUntil)
  return null
}

function ofSubmission(row: WhyRow, context: WhyContext): Why {
  const { now, submission } = context
  if (submission?.state === 'started') {
    return submission.leaseUntil < now
      ? because('lease_ran_out', submission.leaseUntil)
      : because('submitting', submission.startedAt, submission.leaseUntil)
  }
  // A repeated submission waits for the gate, too.
  const held = ofGate(context)
  if (held) return held
  if (context.projectPausedAt) return because('project_paused', context.projectPausedAt)
  return because('backing_off', submission?.startedAt ?? null, submission?.retryAt ?? row.dueAt)
}

function ofRender(row: WhyRow, { now, typicalMs, slowMs }: WhyContext): Why {
  const since = row.submittedAt
  if (row.lastPollClass === 'without_url') return because('no_url_yet', since)
  if (row.pollFailures >= FAILING_POLLS) return because('poll_failing', since)
  const elapsedMs = since ? now.getTime() - since.getTime() : 0
  if (slowMs !== null && elapsedMs > slowMs) return because('slower_than_usual', since)
  const until = since && typicalMs !== null && typicalMs > elapsedMs ? new Date(since.getTime() + typicalMs) : null
  return because('rendering', since, until)
}

const because = (code: WhyCode, since: Date | null, until: Date | null = null): Why => ({ code, since, until })
