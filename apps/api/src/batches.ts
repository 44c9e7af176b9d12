// Shared by several routes: finding a batch, and replying with the batch's counts.

import { Problem } from '@reelqueue/contract/terms/problem'
import { type BatchJson, type batchEstimate, toBatchJson } from '@reelqueue/contract/wire/batch'
import { type BatchOutlook, estimateBatch, type KindCount } from '@reelqueue/shared/domain/batch-estimate'
import { PACE_MINUTES } from '@reelqueue/shared/domain/queue-estimate'
import { findLastPlace } from '@reelqueue/shared/store/admission/queue-place'
import { readGate } from '@reelqueue/shared/store/admission/submitting-gate'
import { type Batch, countByStatus, findBatch, kindsOf } from '@reelqueue/shared/store/intake/batches'
import { countWaiting } from '@reelqueue/shared/store/intake/generations'
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
  const kinds = kindsOf(batch)
  if (open === 0 || kinds === null || json.status === 'cancelling') return json
  const sinceMinutes = (Date.now() - batch.createdAt.getTime()) / 60_000
  // The admission rate covers only the time since the batch exists.
  const place = await findLastPlace(deps.database, batch.id, Math.min(PACE_MINUTES, sinceMinutes))
  const estimate = await estimateOf(deps, project, {
    kinds,
    open,
    waiting: place ? place.ahead + 1 : 0,
    isHeld: place !== null && (place.isProjectPaused || place.isSubmittingHeld),
    pace: place?.pace ?? NO_PACE,
  })
  return { ...json, estimate }
}

/** The estimate for a batch before the insert. */
export async function estimateAhead(deps: ApiDeps, project: CallingProject, kinds: readonly KindCount[]) {
  const total = kinds.reduce((sum, { count }) => sum + count, 0)
  const [waiting, gate] = await Promise.all([
    countWaiting(deps.database, project.id, WAITING_MAX),
    readGate(deps.database),
  ])
  const isHeld = !gate.isOpen || project.pausedAt !== null
  const estimate = await estimateOf(deps, project, {
    kinds,
    open: total,
    waiting: waiting + total,
    isHeld,
    pace: NO_PACE,
  })
  return { object: 'batch_check' as const, total, estimate }
}

const NO_PACE = { admitted: 0, minutes: 0 }
/** An estimate counts at most this many waiting generations. */
const WAITING_MAX = 100_000

async function estimateOf(
  { database, settings }: ApiDeps,
  { maxInFlight }: CallingProject,
  outlook: Omit<BatchOutlook, 'slots'>,
): Promise<z.output<typeof batchEstimate>> {
  const slots = Math.min(settings.slots, maxInFlight ?? settings.slots)
  const stats = await readRenderStats(database, outlook.kinds)
  const isHeld = outlook.isHeld || !settings.hasUpstreamKey
  const { endsInMs, amount } = estimateBatch({ ...outlook, isHeld, slots }, stats)
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
