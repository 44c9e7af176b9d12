// Routes of /v1/generations.

import { z } from 'zod'
import { STATUSES } from '../terms/status.ts'
import { adoptRequest } from '../wire/adopt-request.ts'
import { eventJson } from '../wire/event.ts'
import { generationJson } from '../wire/generation.ts'
import { generationRequest } from '../wire/generation-request.ts'
import { listOf, pageQuery } from '../wire/list.ts'
import { byId, idempotencyHeaders, waitQuery } from '../wire/parameters.ts'
import type { Route } from './route.ts'

/** Postgres stores sequences as 32-bit integers. */
const SEQUENCE_MAX = 2_147_483_647

/** The problems of an adoption, by a key or by the operator. */
export const ADOPTION_PROBLEMS = [
  'malformed_json',
  'not_found',
  'illegal_move',
  'upstream_task_taken',
  'unsupported_media_type',
  'validation_failed',
  'upstream_task_unknown',
  'slots_full',
  'upstream_unavailable',
] as const

/** The problems of a request that creates a generation. */
export const CREATION_PROBLEMS = [
  'malformed_json',
  'idempotency_conflict',
  'backlog_full',
  'body_too_large',
  'unsupported_media_type',
  'validation_failed',
] as const

export const generationRoutes = {
  createGeneration: {
    method: 'POST',
    path: '/v1/generations',
    caller: 'key',
    tag: 'Generations',
    summary: 'Accept a generation',
    description: 'The generation is durable when the reply arrives. The provider is paid once for it.',
    headers: idempotencyHeaders,
    body: generationRequest,
    replies: { 202: generationJson },
    locates: true,
    problems: CREATION_PROBLEMS,
  },
  listGenerations: {
    method: 'GET',
    path: '/v1/generations',
    caller: 'key',
    tag: 'Generations',
    summary: 'List generations, newest first',
    query: pageQuery.extend({
      status: z.enum(STATUSES).optional().describe('Only generations in this status.'),
      batch_id: z.string().min(1).optional().describe('Only generations of this batch.'),
      custom_id: z.string().min(1).optional().describe('Only generations with this `custom_id`.'),
    }),
    replies: { 200: listOf(generationJson) },
    problems: ['validation_failed'],
  },
  getGeneration: {
    method: 'GET',
    path: '/v1/generations/{id}',
    caller: 'key',
    tag: 'Generations',
    summary: 'Read a generation, or wait for its end',
    params: byId,
    query: waitQuery,
    replies: { 200: generationJson },
    problems: ['not_found', 'validation_failed'],
  },
  listGenerationEvents: {
    method: 'GET',
    path: '/v1/generations/{id}/events',
    caller: 'key',
    tag: 'Generations',
    summary: 'The timeline of a generation, oldest first',
    params: byId,
    query: z.strictObject({
      after: z.coerce.number().int().min(0).max(SEQUENCE_MAX).default(0).describe('Only events after this sequence.'),
    }),
    replies: { 200: listOf(eventJson) },
    problems: ['not_found', 'validation_failed'],
  },
  cancelGeneration: {
    method: 'POST',
    path: '/v1/generations/{id}/cancel',
    caller: 'key',
    tag: 'Generations',
    summary: 'Cancel a generation',
    description:
      'Immediate, unless a submission is under way: then `cancel_requested_at` is set, and the generation becomes `cancelled` after the outcome. The provider cannot be told: when `may_be_charged` is true, the render goes on and may still be charged.',
    params: byId,
    replies: { 200: generationJson },
    problems: ['not_found', 'illegal_move'],
  },
  retryGeneration: {
    method: 'POST',
    path: '/v1/generations/{id}/retry',
    caller: 'key',
    tag: 'Generations',
    summary: 'Retry a failed generation',
    description:
      'A new attempt of a failed generation, under the same id. The generation is queued again, and may be paid for again. If the provider had accepted a task for it, Reelqueue asks about that task first: if the task has a video, the video is taken and nothing is paid.',
    params: byId,
    replies: { 200: generationJson },
    problems: ['not_found', 'illegal_move'],
  },
  adoptTask: {
    method: 'POST',
    path: '/v1/generations/{id}/adopt',
    caller: 'key',
    tag: 'Generations',
    summary: 'Give a failed generation an upstream task that a person found',
    description:
      "For example a task in the provider's console after `submission_unknown`. Reelqueue asks the provider about the task and then polls it; the outcome of the task becomes the outcome of the generation. Nothing is paid. A submission of the generation must have an unknown outcome. A task that still renders takes a slot. A success of the generation that arrives in the meantime is taken instead.",
    params: byId,
    body: adoptRequest,
    replies: { 200: generationJson },
    problems: [...ADOPTION_PROBLEMS, 'no_unknown_submission'],
  },
} as const satisfies Record<string, Route>
