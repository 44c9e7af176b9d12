// The boundary where errors become replies: refusals as RFC 9457 problems, everything else logged once as a bug.

import { Later, PROBLEMS, Problem, type ProblemCode } from '@reelqueue/shared/domain/problem'
import { isUnavailable } from '@reelqueue/shared/store/database'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'

export const PROBLEM_TYPE = 'application/problem+json'

export const problemJson = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]]),
    detail: z.string(),
    errors: z
      .array(
        z.object({
          field: z.string(),
          rule: z.string(),
          allowed: z.unknown(),
          line: z.int().optional().describe('Number of the item in its batch, from 1.'),
        }),
      )
      .optional(),
    total: z.int().optional().describe('How many fields are wrong; `errors` lists the first hundred.'),
  })
  .meta({ id: 'Problem' })

/** What Fastify refuses by itself, in our words. */
const FASTIFY_REFUSALS: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_MAX_PARAM_LENGTH: 'not_found',
}

/** Fastify's error handler. */
export function replyWithProblem(
  error: FastifyError | Problem,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  return sendProblem(reply, asProblem(error, request))
}

/** Fastify's handler of unknown addresses. */
export function replyNotFound(_request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return sendProblem(reply, new Problem('not_found'))
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  const { code, detail, errors, total } = problem
  const { status, title } = PROBLEMS[code]
  if (code === 'operator_login_required') reply.header('www-authenticate', 'Basic realm="Reelqueue", charset="UTF-8"')
  if (code === 'unauthorized') reply.header('www-authenticate', 'Bearer')
  if (code === 'unavailable') reply.header('retry-after', '5')
  if (code === 'backlog_full') reply.header('retry-after', '60')
  if (problem instanceof Later) reply.header('retry-after', String(problem.retryAfterSeconds))
  const body = { type: `urn:reelqueue:problem:${code}`, title, status, code, detail, errors, total }
  return reply.code(status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(body))
}

function asProblem(error: FastifyError | Problem, request: FastifyRequest): Problem {
  if (error instanceof Problem) return error
  const known = FASTIFY_REFUSALS[error.code]
  if (known) return new Problem(known)
  if (error.statusCode !== undefined && error.statusCode < 500) return new Problem('malformed_request')
  if (isUnavailable(error)) {
    request.log.warn({ event: 'request.unavailable', err: error.message })
    return new Problem('unavailable')
  }
  request.log.error({ event: 'request.failed', err: error })
  return new Problem('internal_error', `Try again; the log has the cause under the request id ${request.id}.`)
}
