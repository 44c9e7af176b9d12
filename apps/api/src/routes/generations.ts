// /v1/generations: accept, read, list, timeline. Actions are in generation-actions.ts.

import { STATUSES } from '@reelqueue/contract/terms/status'
import { eventJson, toEventJson } from '@reelqueue/contract/wire/event'
import { generationJson, toGenerationJson } from '@reelqueue/contract/wire/generation'
import { generationRequest, normalForm } from '@reelqueue/contract/wire/generation-request'
import { listEvents, listGenerations } from '@reelqueue/shared/store/generations'
import { z } from 'zod'
import type { ApiDeps } from '../deps.ts'
import { withEvidence } from '../evidence.ts'
import { acceptGeneration, byId, mustFind, readWaiting, waitQuery, withOutlook } from '../generations.ts'
import { idempotencyHeaders } from '../idempotency.ts'
import { problems } from '../openapi.ts'
import { cursorOf, listOf, pageOf, pageQuery } from '../page.ts'
import type { App } from '../typed-app.ts'

const EVENTS_MAX = 1_000
/** Postgres stores sequences as 32-bit integers. */
const SEQUENCE_MAX = 2_147_483_647

export function generationRoutes(app: App, deps: ApiDeps): void {
  const { database } = deps

  app.post(
    '/v1/generations',
    {
      config: { looksAtKey: true },
      schema: {
        tags: ['Generations'],
        summary: 'Accept a generation',
        description: 'The generation is durable when the reply arrives. The provider is paid once for it.',
        headers: idempotencyHeaders,
        body: generationRequest,
        response: {
          202: generationJson,
          ...problems(
            'malformed_json',
            'idempotency_conflict',
            'backlog_full',
            'body_too_large',
            'unsupported_media_type',
            'validation_failed',
          ),
        },
      },
    },
    async (request, reply) => {
      const accepted = await acceptGeneration(deps, request, reply, '/v1/generations', normalForm(request.body))
      return reply.code(202).header('location', `/v1/generations/${accepted.id}`).send(toGenerationJson(accepted))
    },
  )

  app.get(
    '/v1/generations',
    {
      schema: {
        tags: ['Generations'],
        summary: 'List generations, newest first',
        querystring: pageQuery.extend({
          status: z.enum(STATUSES).optional(),
          batch_id: z.string().min(1).optional(),
          custom_id: z.string().min(1).optional(),
        }),
        response: { 200: listOf(generationJson), ...problems('validation_failed') },
      },
    },
    async (request) => {
      const { status, batch_id: batchId, custom_id: customId, limit, cursor } = request.query
      const before = cursorOf('generation', cursor)
      const rows = await listGenerations(database, request.project.id, { status, batchId, customId }, limit + 1, before)
      return pageOf(rows, limit, toGenerationJson)
    },
  )

  app.get(
    '/v1/generations/:id',
    {
      schema: {
        tags: ['Generations'],
        summary: 'Read a generation, or wait for its end',
        params: byId,
        querystring: waitQuery,
        response: { 200: generationJson, ...problems('not_found', 'validation_failed') },
      },
    },
    async (request) => {
      const row = await readWaiting(deps, request, request.params.id, request.query.wait)
      const [json, evidence] = await Promise.all([withOutlook(deps, row), withEvidence(deps, row)])
      return { ...json, ...evidence }
    },
  )

  app.get(
    '/v1/generations/:id/events',
    {
      schema: {
        tags: ['Generations'],
        summary: 'The timeline of a generation, oldest first',
        params: byId,
        querystring: z.strictObject({
          after: z.coerce
            .number()
            .int()
            .min(0)
            .max(SEQUENCE_MAX)
            .default(0)
            .describe('Only events after this sequence.'),
        }),
        response: { 200: listOf(eventJson), ...problems('not_found', 'validation_failed') },
      },
    },
    async (request) => {
      const { id } = await mustFind(deps, request.project, request.params.id)
      const events = await listEvents(database, id, EVENTS_MAX, request.query.after)
      const last = events.length === EVENTS_MAX ? String(events.at(-1)?.sequence) : null
      return { data: events.map(toEventJson), next_cursor: last }
    },
  )
}
