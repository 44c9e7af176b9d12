// /admin/v1/generations and /admin/v1/find: generations of all projects, for operators; of one project, for its members.

import { isId } from '@reelqueue/contract/terms/ids'
import { Problem } from '@reelqueue/contract/terms/problem'
import { WHY_MEANINGS } from '@reelqueue/contract/terms/why-words'
import { type GenerationJson, toGenerationJson } from '@reelqueue/contract/wire/generation'
import type { GenerationFilter, OperatorGenerationJson } from '@reelqueue/contract/wire/operator/generation'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { findAnyGeneration } from '@reelqueue/shared/store/intake/generation-reads'
import type { Generation } from '@reelqueue/shared/store/intake/generations'
import { findAnything } from '@reelqueue/shared/store/operator/find'
import { type GenerationFacts, readGenerationFacts } from '@reelqueue/shared/store/operator/generation-facts'
import type { OperatorFilter } from '@reelqueue/shared/store/operator/generation-filter'
import { listAllGenerations, readAllGenerations } from '@reelqueue/shared/store/operator/generation-list'
import { readTimeline } from '@reelqueue/shared/store/operator/timeline'
import type { FastifyRequest } from 'fastify'
import type { ApiDeps } from '../../deps.ts'
import { withEvidence } from '../../evidence.ts'
import { withRenderEstimate } from '../../generations.ts'
import { scopeOf } from '../../operator-login.ts'
import { cursorOf } from '../../page.ts'
import type { Serve } from '../../typed-app.ts'

/** Rows that are refreshed by id. */
const IDS_MAX = 200

export function operatorGenerationRoutes(serve: Serve<'operator'>, deps: ApiDeps): void {
  const { database, settings } = deps
  const installation = { upstream: CONFIGURED, ...settings }

  async function withFacts(rows: readonly Generation[]): Promise<OperatorGenerationJson[]> {
    const facts = await readGenerationFacts(database, rows, installation)
    return rows.map((row) => toOperatorJson(row, toGenerationJson(row), facts.get(row.id)))
  }

  async function mustFind(request: FastifyRequest, id: string): Promise<Generation> {
    const scope = scopeOf(request)
    const row = await findAnyGeneration(database, id)
    if (!row || (scope !== undefined && row.projectId !== scope)) throw new Problem('not_found')
    return row
  }

  serve('listAllGenerations', async (request) => {
    const { limit, cursor, ids, ...filter } = request.query
    const scope = scopeOf(request)
    if (ids !== undefined) {
      const data = await withFacts(await readAllGenerations(database, idsOf(ids), scope))
      return { data, next_cursor: null, looked_back_to: null }
    }
    const before = cursorOf('generation', cursor)
    const page = await listAllGenerations(database, { ...filterOf(filter), ...inScope(scope) }, limit, before)
    return {
      data: await withFacts(page.rows),
      next_cursor: page.next,
      looked_back_to: page.lookedBackTo?.toISOString() ?? null,
    }
  })

  serve('readGeneration', async (request) => {
    const row = await mustFind(request, request.params.id)
    const [json, evidence, facts] = await Promise.all([
      withRenderEstimate(deps, row),
      withEvidence(deps, row),
      readGenerationFacts(database, [row], installation),
    ])
    return toOperatorJson(row, { ...json, ...evidence }, facts.get(row.id))
  })

  serve('readTimeline', async (request) => {
    const { id } = await mustFind(request, request.params.id)
    const records = await readTimeline(database, id)
    return { data: records.map((record) => ({ ...record, at: record.at.toISOString() })) }
  })

  serve('find', async (request) => {
    const found = await findAnything(database, request.query.q, [CONFIGURED.name], scopeOf(request))
    return { data: found.map(({ projectId, ...one }) => ({ ...one, project_id: projectId })) }
  })
}

const inScope = (scope: string | undefined) => (scope === undefined ? {} : { projectId: scope })

/** @throws Problem `validation_failed` */
function idsOf(text: string): string[] {
  const ids = text.split(',')
  if (ids.length <= IDS_MAX && ids.every((id) => isId('generation', id))) return ids
  throw new Problem('validation_failed', undefined, [
    { field: 'ids', rule: 'ids', allowed: `at most ${IDS_MAX} ids of generations, with commas between` },
  ])
}

/** The filter of the query for the store. */
export function filterOf(query: GenerationFilter): OperatorFilter {
  const [, key = '', value = ''] = /^([^=]+)=(.*)$/s.exec(query.metadata ?? '') ?? []
  return {
    projectId: query.project_id,
    statuses: query.status?.split(','),
    errorCode: query.error_code,
    model: query.model,
    batchId: query.batch_id,
    customId: query.custom_id,
    metadata: query.metadata === undefined ? undefined : { key, value },
    prompt: query.prompt,
    isPaidWithoutVideo: query.paid_without_video === 'true',
    isUnknown: query.unknown === 'true',
    createdAfter: dateOf(query.created_after),
    createdBefore: dateOf(query.created_before),
  }
}

const dateOf = (text: string | undefined) => (text === undefined ? undefined : new Date(text))

function toOperatorJson(
  row: Generation,
  json: GenerationJson,
  facts: GenerationFacts | undefined,
): OperatorGenerationJson {
  if (!facts) throw new Error(`no facts for ${row.id}`)
  const { code, since, until } = facts.why
  const { words, next, actions } = WHY_MEANINGS[code]
  const cost = row.cost as { readonly amount?: number | null; readonly totalTokens?: number | null } | null
  return {
    ...json,
    project_id: row.projectId,
    project_name: facts.projectName,
    admitted_at: row.admittedAt?.toISOString() ?? null,
    cost: cost && { amount: cost.amount ?? null, total_tokens: cost.totalTokens ?? null },
    upstream: row.upstream,
    why: {
      code,
      words,
      since: since?.toISOString() ?? null,
      until: until?.toISOString() ?? null,
      next,
      actions: [...actions],
    },
  }
}
