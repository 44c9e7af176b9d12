// The OpenAPI document, generated from the schemas that check requests, so the document cannot differ from the checks.

import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { problemsOf, type Route, TAGS } from '@reelqueue/contract/routes/route'
import { PROBLEMS, type ProblemCode } from '@reelqueue/contract/terms/problem'
import { PROBLEM_TYPE, problemJson } from '@reelqueue/contract/wire/problem-body'
import type { FastifySchema } from 'fastify'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { completeDocument } from './document-parts.ts'
import { SESSION_COOKIE } from './session-cookie.ts'
import { VERSION } from './version.ts'

/** `publicUrl`: the server URL in the document; undefined: the URL of the document itself. */
export const openapiOptions = (publicUrl: string | undefined): FastifyDynamicSwaggerOptions => ({
  openapi: {
    openapi: '3.1.0',
    info: {
      title: 'Reelqueue',
      version: VERSION,
      description:
        'A durable job queue for AI video generation. A request answered with 2xx is stored; a generation is paid for once. Errors are RFC 9457 problems with a stable `code`.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: publicUrl ?? '/' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    components: {
      securitySchemes: {
        apiKey: { type: 'http', scheme: 'bearer', description: 'A key made by `npm run keys -- create`.' },
        operator: { type: 'http', scheme: 'basic', description: "Any user name, and the operator's password." },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: SESSION_COOKIE,
          description: 'Set by `POST /admin/v1/session`.',
        },
      },
    },
    security: [{ apiKey: [] }],
  },
  transform: jsonSchemaTransform,
  transformObject: (made) => completeDocument(jsonSchemaTransformObject(made)),
})

/** The Fastify schema of a row: how to check its requests, and what the document says. */
export function schemaOf(operationId: string, row: Route): FastifySchema {
  const { caller, tag, summary, description, params, query, headers, body, bodyTypes, replies } = row
  const replySchemas = Object.entries(replies).map(([status, reply]) => [
    status,
    'mediaType' in reply
      ? { description: reply.description, content: { [reply.mediaType]: { schema: reply.schema } } }
      : reply,
  ])
  return {
    operationId,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    ...(caller !== 'key' && { security: caller === 'operator' ? [{ operator: [] }, { session: [] }] : [] }),
    ...(params && { params }),
    ...(query && { querystring: query }),
    ...(headers && { headers }),
    ...(body && { body }),
    ...(bodyTypes && { consumes: [...bodyTypes] }),
    response: { ...Object.fromEntries(replySchemas), ...problemReplies(problemsOf(row)) },
  }
}

/** Problems as replies, by status. */
function problemReplies(codes: readonly ProblemCode[]) {
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
