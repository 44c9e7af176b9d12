// docs/http-api.md: the routes, read from the same document that the API serves at /openapi.json.

import { buildApp } from '@reelqueue/api/app'
import { openAppContext } from '@reelqueue/shared/app-context'
import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { z } from 'zod'
import { code, page, table } from './markdown.ts'

/** The parts of an OpenAPI document used by the page. */
const openapi = z.object({
  tags: z.array(z.object({ name: z.string(), description: z.string() })),
  paths: z.record(
    z.string(),
    z.record(
      z.string(),
      z.object({
        tags: z.tuple([z.string()]),
        summary: z.string(),
        description: z.string().optional(),
        security: z.array(z.unknown()).optional(),
        parameters: z.array(z.object({ in: z.string(), name: z.string() })).default([]),
        responses: z.record(z.string(), z.object({ description: z.string() })),
      }),
    ),
  ),
})
type Operation = z.output<typeof openapi>['paths'][string][string]

export async function httpApiPage(): Promise<string> {
  const { tags, paths } = openapi.parse(await openapiDocument())
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  const sections = tags.flatMap(({ name, description }) => [
    `## ${name}`,
    description,
    table(
      ['Route', 'What it does', 'Parameters', 'Answers', 'Refusals'],
      operations
        .filter(({ operation }) => operation.tags[0] === name)
        .map(({ path, method, operation }) => [
          code(`${method.toUpperCase()} ${path}`),
          [`${operation.summary}.`, operation.description ?? ''].join(' ').trim(),
          parametersOf(operation),
          answersOf(operation),
          refusalsOf(operation),
        ]),
    ),
  ])
  return page(
    'The HTTP API',
    "the API's own OpenAPI document",
    'A running API serves the full description, with every field, at `/openapi.json`, and as pages to read and try at `/docs`. [integrating.md](integrating.md) shows the common calls with their replies. Bodies are JSON in UTF-8; a number that JSON parsers would change (`unsafe_number`) and a name that occurs twice in one object (`duplicate_key`) are refused. Routes below `/v1` require `Authorization: Bearer <key>`; routes below `/admin` require the password of an operator (Basic), or the cookie of a session. [problems.md](problems.md) explains the refusals.',
    'Every reply has `X-Request-Id`: the id of the request, or a new id; the log and each problem have the same id. Every 429 and 503 has `Retry-After`, the seconds to wait. Where `REQUESTS_PER_MINUTE_PER_KEY` limits a key, each reply also shows the remaining requests, as `RateLimit-Policy: "key";q=100;w=60` (100 requests in 60 s) and `RateLimit: "key";r=42;t=17` (42 are left for the next 17 s), as in the [IETF draft](https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/10/).',
    'Lists are `{data, next_cursor}`, newest first; pass `next_cursor` as `cursor` for the next page.',
    ...sections,
    '## Pages for people',
    table(
      ['Address', 'What it shows'],
      [
        ['`/docs`, `/openapi.json`', 'The reference of this API, without login'],
        [
          '`/admin/queues`',
          "The queues (bull-board), behind the operator's login; the queue of the pollers, `poll`, is read-only",
        ],
        ['`/`', "Redirects to the queues for now, behind the operator's login"],
      ],
    ),
  )
}

/** The document of an API that is built and never started: no server is contacted. */
export async function openapiDocument(): Promise<unknown> {
  const nowhere = { DATABASE_URL: 'postgresql://127.0.0.1:1/none', SECRET_KEY: Buffer.alloc(32).toString('base64') }
  const context = openAppContext(loadConfig(nowhere), createLogger('silent'))
  const app = await buildApp({
    ...context,
    waiter: { wait: async () => undefined, close: () => undefined },
    keys: { find: async () => null, recall: () => null },
    operators: {
      require: async () => undefined,
      logIn: async () => {
        throw new Error('no operator logs in while documents are written')
      },
      hashFor: async () => '',
      dropCookie: () => undefined,
    },
    accept: async () => null,
    askTask: async () => 'ended',
    backlog: { take: async () => undefined, takeMany: (_project, _count, insert) => insert() },
    settings: {
      publicUrl: undefined,
      trustedProxies: [],
      hasUpstreamKey: false,
      allowPrivateImageHosts: false,
      requestsPerMinutePerKey: undefined,
      slotsPerModel: {},
      slots: context.config.UPSTREAM_MAX_IN_FLIGHT,
      reconcileIntervalMs: context.config.RECONCILE_INTERVAL_MS,
    },
  })
  try {
    await app.ready()
    return app.swagger()
  } finally {
    await app.close()
    await context.close()
  }
}

function parametersOf({ parameters }: Operation): string {
  return parameters
    .filter(({ in: place }) => place !== 'path')
    .map(({ in: place, name }) => (place === 'query' ? code(`?${name}`) : code(name)))
    .join(', ')
}

const isRefusal = (status: string, description: string) => status >= '400' && description.startsWith('`')

function answersOf({ responses }: Operation): string {
  return Object.entries(responses)
    .filter(([status, { description }]) => !isRefusal(status, description))
    .map(([status]) => status)
    .join(', ')
}

function refusalsOf({ responses }: Operation): string {
  return Object.entries(responses)
    .filter(([status, { description }]) => isRefusal(status, description))
    .map(([status, { description }]) => `${status} ${description}`)
    .join(', ')
}
