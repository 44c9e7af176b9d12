// /v1/generations: accept, read, list, timeline. Actions are in generation-actions.ts.

import { toEventJson } from '@reelqueue/contract/wire/event'
import { toGenerationJson } from '@reelqueue/contract/wire/generation'
import { normalForm } from '@reelqueue/contract/wire/generation-request'
import { listEvents, listGenerations } from '@reelqueue/shared/store/intake/generation-reads'
import type { ApiDeps } from '../deps.ts'
import { withEvidence } from '../evidence.ts'
import { acceptGeneration, mustFind, readWaiting, withRenderEstimate } from '../generations.ts'
import { cursorOf, pageOf } from '../page.ts'
import type { Serve } from '../typed-app.ts'

const EVENTS_MAX = 1_000
/** Postgres stores sequences as 32-bit integers. */

export function generationRoutes(serve: Serve<'key'>, deps: ApiDeps): void {
  const { database } = deps

  serve(
    'createGeneration',
    async (request, reply) => {
      const accepted = await acceptGeneration(deps, request, reply, '/v1/generations', normalForm(request.body))
      return reply.code(202).header('location', `/v1/generations/${accepted.id}`).send(toGenerationJson(accepted))
    },
    { looksAtKey: true },
  )

  serve('listGenerations', async (request) => {
    const { status, batch_id: batchId, custom_id: customId, limit, cursor } = request.query
    const before = cursorOf('generation', cursor)
    const rows = await listGenerations(database, request.project.id, { status, batchId, customId }, limit + 1, before)
    return pageOf(rows, limit, toGenerationJson)
  })

  serve('getGeneration', async (request) => {
    const row = await readWaiting(deps, request, request.params.id, request.query.wait)
    const [json, evidence] = await Promise.all([withRenderEstimate(deps, row), withEvidence(deps, row)])
    return { ...json, ...evidence }
  })

  serve('listGenerationEvents', async (request) => {
    const { id } = await mustFind(deps, request.project, request.params.id)
    const events = await listEvents(database, id, EVENTS_MAX, request.query.after)
    const last = events.length === EVENTS_MAX ? String(events.at(-1)?.sequence) : null
    return { data: events.map(toEventJson), next_cursor: last }
  })
}
