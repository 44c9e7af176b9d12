// Shared by several routes: finding a batch, and replying with the batch's counts.

import { Problem } from '@reelqueue/contract/terms/problem'
import { type BatchJson, type batchEstimate, toBatchJson } from '@reelqueue/contract/wire/batch'
import { type EstimateInput, estimateBatch, type ProfileCount } from '@reelqueue/shared/domain/batch-estimate'
import { RATE_MINUTES } from '@reelqueue/shared/domain/queue-estimate'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { findLastPosition } from '@reelqueue/shared/store/admission/queue-position'
import { readGate } from '@reelqueue/shared/store/admission/submitting-gate'
import { type Batch, countByStatus, findBatch, profilesOf } from '@reelqueue/shared/store/intake/batches'
import { countWaiting } from '@reelqueue/shared/store/intake/generation-reads'
import { readRenderStats } from '@reelqueue/shared/store/lifecycle/render-stats'
import type { CallingProject } from '@reelqueue/shared/store/projects'
import type { FastifyReply } from 'fastify'
import type { z } from 'zod'
import type { ApiDeps } from './deps.ts'

/** @throws Problem `not_found`, also for an id of another project */
export async function mustFindBatch({ database }: ApiDeps, project: CallingProject, id: string): Promise<Batch> {
  const batch = await findBatch(database, project.id, id)
  if (!batch) throw new Problem('not_found')
  return batch
}

/**
 * Sends the 202 reply. Callers return this reply without awaiting: after an await, Fastify would send a second reply.
 */
export function accepted(reply: FastifyReply, batch: BatchJson): FastifyReply {
  return reply.code(202).header('location', `/v1/batches/${batch.id}`).send(batch)
}

export async function withCounts(deps: ApiDeps, batch: Batch): Promise<BatchJson> {
  const [json] = await allWithCounts(deps, [batch])
  if (!json) throw new Error(`no counts for ${batch.id}`)
  return json
}

/** The batch with an estimate, while generations are open. */
export async function withEstimate(deps: ApiDeps, project: CallingProject, batch: Batch): Promise<BatchJson> {
  const json = await withCounts(deps, batch)
  const open = json.counts.queued + json.counts.submitting + json.counts.processing
  const profiles = profilesOf(batch)
  if (open === 0 || profiles === null || json.status === 'cancelling') return json
  const sinceMinutes = (Date.now() - batch.createdAt.getTime()) / 60_000
  // The admission rate covers only the time since the batch exists.
  const position = await findLastPosition(deps.database, CONFIGURED, batch.id, Math.min(RATE_MINUTES, sinceMinutes))
  const estimate = await estimateOf(deps, project, {
    profiles,
    open,
    waiting: position ? position.ahead + 1 : 0,
    isHeld: position !== null && (position.isProjectPaused || position.isSubmittingHeld),
    rate: position?.rate ?? NO_RATE,
  })
  return { ...json, estimate }
}

/** The estimate for a batch before the insert. */
export async function estimateAhead(deps: ApiDeps, project: CallingProject, profiles: readonly ProfileCount[]) {
  const total = profiles.reduce((sum, { count }) => sum + count, 0)
  const [waiting, gate] = await Promise.all([
    countWaiting(deps.database, project.id, WAITING_MAX),
    readGate(deps.database, CONFIGURED.name),
  ])
  const isHeld = !gate.isOpen || project.pausedAt !== null
  const estimate = await estimateOf(deps, project, {
    profiles,
    open: total,
    waiting: waiting + total,
    isHeld,
    rate: NO_RATE,
  })
  return { object: 'batch_check' as const, total, estimate }
}

const NO_RATE = { admitted: 0, minutes: 0 }
/** An estimate counts at most this many waiting generations. */
const WAITING_MAX = 100_000

async function estimateOf(
  { database, settings }: ApiDeps,
  { maxInFlight }: CallingProject,
  input: Omit<EstimateInput, 'slots'>,
): Promise<z.output<typeof batchEstimate>> {
  const slots = Math.min(settings.slots, maxInFlight ?? settings.slots)
  const stats = await readRenderStats(database, input.profiles)
  const isHeld = input.isHeld || !settings.hasUpstreamKey
  const { endsInMs, amount } = estimateBatch({ ...input, isHeld, slots }, stats)
  return { ends_at: endsInMs === null ? null : new Date(Date.now() + endsInMs).toISOString(), amount }
}

/** The batches as replies, in the same order. */
export async function allWithCounts({ database }: ApiDeps, batches: readonly Batch[]): Promise<BatchJson[]> {
  const counts = await countByStatus(
    database,
    batches.map((batch) => batch.id),
  )
  return batches.map((batch) => {
    const byStatus = counts.get(batch.id)
    if (!byStatus) throw new Error(`no counts for ${batch.id}`)
    return toBatchJson(batch, byStatus)
  })
}
