// Shared by several routes: accepting a generation, finding a generation, and waiting for the end.

import { newId } from '@reelqueue/contract/terms/ids'
import { Problem } from '@reelqueue/contract/terms/problem'
import { isTerminal } from '@reelqueue/contract/terms/status'
import { type GenerationJson, type GenerationRow, toGenerationJson } from '@reelqueue/contract/wire/generation'
import type { NormalRequest } from '@reelqueue/contract/wire/generation-request'
import { estimateWaitMs, keptSlotsTaken, RATE_MINUTES } from '@reelqueue/shared/domain/queue-estimate'
import { remainingMs } from '@reelqueue/shared/domain/render-times'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { findQueuePosition } from '@reelqueue/shared/store/admission/queue-position'
import { findByIdempotencyKey, findGeneration } from '@reelqueue/shared/store/intake/generation-reads'
import type { Generation, NewGeneration, Stored } from '@reelqueue/shared/store/intake/generations'
import { readRenderEstimate } from '@reelqueue/shared/store/lifecycle/render-stats'
import type { CallingProject } from '@reelqueue/shared/store/projects'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ApiDeps } from './deps.ts'
import { type Idempotency, idempotencyOf, replay } from './idempotency.ts'
import { waitOutside } from './request-turns.ts'

/** Inserts a generation, or replays the generation with the same Idempotency-Key. */
export async function acceptGeneration(
  deps: ApiDeps,
  request: FastifyRequest<{ Headers: { 'idempotency-key'?: string | undefined } }>,
  reply: FastifyReply,
  route: string,
  normal: NormalRequest,
): Promise<GenerationRow> {
  const { project, keyHash } = request
  const idempotency = idempotencyOf(request.headers['idempotency-key'], route, normal)
  const row = newGeneration(project, normal, idempotency)
  try {
    await deps.backlog.take(project.id)
  } catch (error) {
    // The generation may have been accepted by an earlier request, then the backlog limit does not matter.
    const winner = await findWinner(deps, request, idempotency)
    if (!winner) throw error
    return replay(winner, idempotency, reply)
  }
  const stored = await deps.accept({ row, keyHash })
  if (stored === null) {
    const winner = await findWinner(deps, request, idempotency)
    if (!winner) throw new Error('a generation was not inserted, and there is none with its idempotency key')
    return replay(winner, idempotency, reply)
  }
  deps.afterCommit({ admissionDue: true })
  return justAccepted(row, stored)
}

/**
 * The generation that holds the request's idempotency key.
 * @throws Problem `unauthorized` when the cached API key has been revoked
 */
async function findWinner(
  { database, keys }: ApiDeps,
  { project, keyHash }: Pick<FastifyRequest, 'project' | 'keyHash'>,
  { idempotencyKey }: Idempotency,
): Promise<Generation | null> {
  if ((await keys.find(keyHash)) === null) throw new Problem('unauthorized')
  return idempotencyKey === null ? null : await findByIdempotencyKey(database, project.id, idempotencyKey)
}

/**
 * A row just inserted, unchanged since. Listed field by field: spreading three objects costs more than checking the
 * request.
 */
function justAccepted(row: NewGeneration, { createdAt, onUnknownSubmission }: Stored): GenerationRow {
  return {
    id: row.id,
    status: 'queued',
    model: row.model,
    prompt: row.prompt,
    size: row.size,
    seconds: row.seconds,
    inputReference: row.inputReference,
    batchId: row.batchId,
    customId: row.customId,
    metadata: row.metadata,
    webhookUrl: row.webhookUrl,
    priority: row.priority,
    onUnknownSubmission,
    videoUrl: null,
    videoUrlExpiresAt: null,
    actualDuration: null,
    errorCode: null,
    errorMessage: null,
    upstreamTaskId: null,
    attempt: 1,
    mayBeCharged: false,
    cancelRequestedAt: null,
    createdAt,
    submittedAt: null,
    finishedAt: null,
  }
}

/** A new row from the normal form of a request. */
export function newGeneration(
  project: CallingProject,
  normal: NormalRequest,
  idempotency: Idempotency,
  batchId: string | null = null,
): NewGeneration {
  return {
    id: newId('generation'),
    projectId: project.id,
    batchId,
    retryOf: null,
    customId: normal.customId,
    model: normal.model,
    prompt: normal.prompt,
    size: normal.size,
    seconds: normal.seconds,
    inputReference: normal.inputReference,
    priority: normal.priority,
    metadata: normal.metadata,
    webhookUrl: normal.webhookUrl,
    onUnknownSubmission: normal.onUnknownSubmission,
    idempotencyKey: idempotency.idempotencyKey,
    idempotencyHash: idempotency.idempotencyHash,
  }
}

/** Reads a generation after waiting up to `waitSeconds` for the end. @throws Problem `not_found` */
export async function readWaiting(
  deps: ApiDeps,
  request: FastifyRequest,
  id: string,
  waitSeconds: number,
): Promise<Generation> {
  const generation = await mustFind(deps, request.project, id)
  if (waitSeconds === 0 || isTerminal(generation.status)) return generation
  const wait = () => deps.waiter.wait(request.project.id, generation.id, waitSeconds * 1_000, request.signal)
  await waitOutside(request, wait)
  return await mustFind(deps, request.project, id)
}

/** @throws Problem `not_found`, also for an id of another project */
export async function mustFind({ database }: ApiDeps, project: CallingProject, id: string): Promise<Generation> {
  const generation = await findGeneration(database, project.id, id)
  if (!generation) throw new Problem('not_found')
  return generation
}

/** The refusal of a retry or an adoption when the generation has not failed. */
export function notFailed(status: string): Problem {
  return new Problem('illegal_move', `The generation is ${status}; only a failed one can be retried or adopt a task.`)
}

/** The generation with an estimate, unless terminal: queue position and expected completion. */
export async function withRenderEstimate(deps: ApiDeps, row: Generation): Promise<GenerationJson> {
  const json = toGenerationJson(row)
  if (isTerminal(row.status)) return json
  const waits = row.status === 'queued' && row.admittedAt === null
  const [queue, { times, slowMs }] = await Promise.all([
    waits ? positionOf(deps, row) : undefined,
    readRenderEstimate(deps.database, row.upstream, row),
  ])
  const elapsedMs = row.status === 'processing' && row.submittedAt ? Date.now() - row.submittedAt.getTime() : 0
  const leftMs = remainingMs(times, elapsedMs)
  const startsAt = queue ? queue.estimated_start_at : new Date().toISOString()
  return {
    ...json,
    ...(queue ? { queue } : {}),
    estimated_completion_at:
      startsAt === null || leftMs === null ? null : new Date(Date.parse(startsAt) + leftMs).toISOString(),
    ...(row.status === 'processing' ? { slower_than_usual: slowMs !== null && elapsedMs > slowMs } : {}),
  }
}

async function positionOf({ database, settings }: ApiDeps, row: Generation): Promise<GenerationJson['queue'] & object> {
  const position = await findQueuePosition(database, CONFIGURED, row, RATE_MINUTES)
  const { ahead, rate, isProjectPaused, slotsInFlight, slotsKept } = position
  const isSubmittingHeld = position.isSubmittingHeld || !settings.hasUpstreamKey
  const held = isProjectPaused || isSubmittingHeld
  const waitMs = held ? null : estimateWaitMs(ahead, rate)
  const startsAt = waitMs === null ? null : new Date(Date.now() + waitMs).toISOString()
  const keptTaken = keptSlotsTaken(slotsKept, settings.slots)
  const isForKept = keptTaken > 0 && slotsInFlight + keptTaken >= settings.slots
  const causes = { project_paused: isProjectPaused, submitting_held: isSubmittingHeld, kept_slots: isForKept }
  const heldBy = (['project_paused', 'submitting_held', 'kept_slots'] as const).filter((cause) => causes[cause])
  return { position: ahead + 1, held, held_by: heldBy, estimated_start_at: startsAt }
}
