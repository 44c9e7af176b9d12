// What operators see beside the rows of generations: their projects, and the facts for why each is where it is. Read for a
// whole page at once.

import { isTerminal } from '@reelqueue/contract/terms/status'
import { keptSlotsTaken } from '../../domain/queue-estimate.ts'
import { quantileMs, saysEnough, slowMs } from '../../domain/render-times.ts'
import type { UpstreamModels } from '../../domain/upstream-models.ts'
import { type Why, type WhyContext, type WhySubmission, why } from '../../domain/why.ts'
import { readGate } from '../admission/submitting-gate.ts'
import type { SlotsPerModel } from '../admission/taken-slots.ts'
import type { Database } from '../database.ts'
import type { Generation, Project } from '../generated/client.ts'
import { readRenderTimes } from '../lifecycle/render-stats.ts'
import { sql } from '../sql.ts'

export interface InstallationSettings {
  readonly upstream: UpstreamModels
  readonly slots: number
  readonly slotsPerModel: SlotsPerModel
  readonly hasUpstreamKey: boolean
}

export interface GenerationFacts {
  readonly projectName: string
  readonly why: Why
}

/** The facts of each generation, by id. A bounded number of statements for any number of rows. */
export async function readGenerationFacts(
  database: Database,
  rows: readonly Generation[],
  settings: InstallationSettings,
): Promise<Map<string, GenerationFacts>> {
  const open = rows.filter((row) => !isTerminal(row.status))
  const [projects, taken, gate, submissions, profiles, refused] = await Promise.all([
    database.prisma.project.findMany({ where: { id: { in: [...new Set(rows.map((row) => row.projectId))] } } }),
    open.length === 0 ? NOTHING_TAKEN : readTakenSlots(database),
    readGate(database, settings.upstream.name),
    readCurrentSubmissions(database, open),
    open.some((row) => row.status === 'processing') ? readRenderTimes(database, settings.upstream.name) : [],
    database.prisma.unstorableRow.findMany({ where: { id: { in: open.map((row) => row.id) } } }),
  ])
  const now = new Date()
  const projectOf = new Map(projects.map((project) => [project.id, project]))
  const timesOf = new Map(profiles.map((profile) => [profileKey(profile), profile.times]))
  const refusedSince = new Map(refused.map((row) => [row.id, row.since]))
  const fullness = fullnessOf(taken, settings)
  return new Map(
    rows.map((row) => {
      const project = projectOf.get(row.projectId)
      const times = timesOf.get(profileKey(row))
      const context: WhyContext = {
        now,
        gate,
        hasUpstreamKey: settings.hasUpstreamKey,
        projectPausedAt: project?.pausedAt ?? null,
        ...fullness(row, project),
        typicalMs: times && saysEnough(times) ? quantileMs(times, 0.5) : null,
        slowMs: times ? slowMs(times) : null,
        unstorableSince: refusedSince.get(row.id) ?? null,
        submission: submissions.get(row.currentSubmissionId ?? '') ?? null,
      }
      return [row.id, { projectName: project?.name ?? '', why: why(whyRowOf(row), context) }]
    }),
  )
}

const profileKey = ({ model, seconds, size }: Pick<Generation, 'model' | 'seconds' | 'size'>) =>
  JSON.stringify([model, seconds, size])

function whyRowOf(row: Generation) {
  const lastPoll = row.lastPoll as { readonly class?: string } | null
  return { ...row, hasAnswer: row.answer !== null, lastPollClass: lastPoll?.class ?? null }
}

interface TakenSlots {
  readonly byModel: readonly { readonly projectId: string; readonly model: string; readonly count: number }[]
  readonly kept: number
}

const NOTHING_TAKEN: TakenSlots = { byModel: [], kept: 0 }

/** Slots in flight by project and model, and kept slots. As many rows as slots are read, at most. */
async function readTakenSlots({ prisma }: Database): Promise<TakenSlots> {
  const [byModel, [kept]] = await Promise.all([
    prisma.$queryRaw<TakenSlots['byModel'][number][]>(sql.named('readSlotsInFlight')`
      SELECT project_id AS "projectId", model, count(*)::int AS count
      FROM generations
      WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing')
      GROUP BY project_id, model`),
    prisma.$queryRaw<{ count: number }[]>(sql.named('readKeptSlots')`
      SELECT count(*)::int AS count
      FROM (
        SELECT 1
        FROM generations
        WHERE slot_until > now() AND slot_until IS NOT NULL
        LIMIT 10000
      ) kept`),
  ])
  return { byModel, kept: kept?.count ?? 0 }
}

/** The limits that leave no slot for a generation. */
function fullnessOf({ byModel, kept }: TakenSlots, { upstream, slots, slotsPerModel }: InstallationSettings) {
  const sumOf = (which: (row: TakenSlots['byModel'][number]) => boolean) =>
    byModel.filter(which).reduce((sum, row) => sum + row.count, 0)
  const used = sumOf((row) => upstream.models.includes(row.model))
  return ({ model, projectId }: Generation, project: Project | undefined) => ({
    isFull: used + keptSlotsTaken(kept, slots) >= slots,
    isModelFull: sumOf((row) => row.model === model) >= (slotsPerModel[model] ?? Number.POSITIVE_INFINITY),
    isProjectFull: sumOf((row) => row.projectId === projectId) >= (project?.maxInFlight ?? Number.POSITIVE_INFINITY),
  })
}

async function readCurrentSubmissions(
  { prisma }: Database,
  open: readonly Generation[],
): Promise<Map<string, WhySubmission>> {
  const ids = open.flatMap((row) => row.currentSubmissionId ?? [])
  if (ids.length === 0) return new Map()
  const rows = await prisma.submission.findMany({
    where: { id: { in: ids } },
    select: { id: true, state: true, startedAt: true, leaseUntil: true, retryAt: true },
  })
  return new Map(rows.map((row) => [row.id, row]))
}
