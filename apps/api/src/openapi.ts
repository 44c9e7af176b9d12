// The OpenAPI document, generated from the schemas that check requests, so the document cannot differ from the checks.

import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { PROBLEMS, type ProblemCode } from '@reelqueue/contract/terms/problem'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { PROBLEM_TYPE, problemJson } from './problem-reply.ts'

/** `publicUrl`: the server URL in the document; undefined: the URL of the document itself. */
export const openapiOptions = (publicUrl: string | undefined): FastifyDynamicSwaggerOptions => ({
  openapi: {
    openapi: '3.1.0',
    info: {
      title: 'Reelqueue',
      version: '0.1.0',
      description:
        'A durable job queue for AI video generation. A request answered with 2xx is stored; a generation is paid for once. Errors are RFC 9457 problems with a stable `code`.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    ...(publicUrl !== undefined && { servers: [{ url: publicUrl }] }),
    tags: [
      { name: 'Generations', description: 'One request for one video, from accepting to its end.' },
      { name: 'Batches', description: 'Many generations accepted together.' },
      {
        name: 'Upstream-shaped',
        description: "The provider's own wire shape: change the base URL of an existing client, nothing else.",
      },
      { name: 'Webhooks', description: 'Endpoints, and the deliveries of events.' },
      { name: 'Project', description: 'The tenant that a key belongs to, and its defaults.' },
      { name: 'Operation', description: 'For load balancers and operators.' },
    ],
    components: {
      securitySchemes: {
        apiKey: { type: 'http', scheme: 'bearer', description: 'A key made by `npm run keys -- create`.' },
        operator: { type: 'http', scheme: 'basic', description: "Any user name, and the operator's password." },
      },
    },
    security: [{ apiKey: [] }],
  },
  transform: jsonSchemaTransform,
  transformObject: jsonSchemaTransformObject,
})

/** Documented refusals of a route that needs an API key. */
export function problems(...codes: ProblemCode[]) {
  return refusals(...codes, 'unauthorized', 'rate_limited', 'too_many_at_once', 'busy')
}

/** Documented refusals of a route. */
export function refusals(...codes: ProblemCode[]) {
  const byStatus = new Map<number, ProblemCode[]>()
  for (const code of codes) {
    const status = PROBLEMS[code].status
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return Object.fromEntries(
    [...byStatus].map(([status, some]) => [
      status,
      {
        description: some.map((code) => `\`${code}\``).join(', '),
        content: { [PROBLEM_TYPE]: { schema: problemJson } },
      },
    ]),
  )
}
