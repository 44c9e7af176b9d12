// Routes of the console that read generations over all projects.

import { z } from 'zod'
import {
  foundJson,
  generationFilter,
  operatorGenerationJson,
  operatorGenerationList,
  timelineEntry,
} from '../../wire/operator/generation.ts'
import { byId } from '../../wire/parameters.ts'
import type { Route } from '../route.ts'

const common = { caller: 'operator', permission: 'see', tag: 'Console' } as const

export const operatorGenerationRoutes = {
  listAllGenerations: {
    ...common,
    method: 'GET',
    path: '/admin/v1/generations',
    summary: 'List generations of all projects, newest first',
    description:
      'One request looks at 20,000 generations at most. A page may therefore be short and still have a `next_cursor`: `looked_back_to` says how far the request has looked.',
    query: generationFilter.extend({
      limit: z.coerce.number().int().min(1).max(200).default(50).describe('The number of objects in a page.'),
      cursor: z.string().optional().describe('`next_cursor` of the previous page.'),
      ids: z
        .string()
        .max(10_000)
        .optional()
        .describe('Ids with commas between, at most 200: only these, to refresh what is shown.'),
    }),
    replies: { 200: operatorGenerationList },
    problems: ['validation_failed'],
  },
  readGeneration: {
    ...common,
    method: 'GET',
    path: '/admin/v1/generations/{id}',
    summary: 'Read a generation of any project, with why it is where it is',
    params: byId,
    replies: { 200: operatorGenerationJson },
    problems: ['not_found'],
  },
  readTimeline: {
    ...common,
    method: 'GET',
    path: '/admin/v1/generations/{id}/timeline',
    summary: 'What happened to a generation, from all records of it, oldest first',
    params: byId,
    replies: { 200: z.object({ data: z.array(timelineEntry) }) },
    problems: ['not_found'],
  },
  find: {
    ...common,
    method: 'GET',
    path: '/admin/v1/find',
    summary: 'Find what an id, an upstream task, a `custom_id`, an address or a name means',
    query: z.strictObject({
      q: z.string().trim().min(1).max(2_000).describe('The text, as it was pasted.').meta({ example: 'order-1138' }),
    }),
    replies: { 200: z.object({ data: z.array(foundJson) }) },
    problems: ['validation_failed'],
  },
} as const satisfies Record<string, Route>
