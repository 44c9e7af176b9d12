// The boundary where errors become replies: refusals as RFC 9457 problems; any other error is logged once as a bug.

import { Later, PROBLEMS, Problem, type ProblemCode } from '@reelqueue/contract/terms/problem'
import { PROBLEM_TYPE } from '@reelqueue/contract/wire/problem-body'
import { summarise, tell } from '@reelqueue/shared/domain/field-words'
import { NoTurn } from '@reelqueue/shared/runtime/fair-turns'
import type { EventLog } from '@reelqueue/shared/runtime/log'
import { AWAY, whyUnavailable } from '@reelqueue/shared/store/unavailable'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { isBrokenGzip } from './compression.ts'
import type { KnownRoutes } from './known-routes.ts'
import { asksForBasic, redirectToLogin } from './login-challenge.ts'
import { REPLY_HEADERS } from './page-origin.ts'
import { withOtherParts } from './validation.ts'

/** Fastify's own refusals and the matching problem codes. */
const FASTIFY_REFUSALS: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_MAX_PARAM_LENGTH: 'not_found',
  FST_ERR_ROUTE_METHOD_NOT_SUPPORTED: 'method_not_allowed',
}

/** Waiting requests have had turns by then. */
const NO_TURN_RETRY_S = 5

/** Fastify's error handler. */
export function replyWithProblem(
  error: FastifyError | Problem,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const problem = asProblem(error, request)
  const redirected = problem.code === 'operator_login_required' ? redirectToLogin(request, reply) : null
  return redirected ?? sendProblem(reply, problem)
}

/** Fastify's handler for unknown paths, and for known paths with a method not allowed. */
export function replyNotFound({ methodsOf }: KnownRoutes) {
  return (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const [path = ''] = request.url.split('?', 1)
    const methods = methodsOf(path)
    if (methods.length === 0) return sendProblem(reply, new Problem('not_found'))
    reply.header('allow', methods.join(', '))
    if (request.method === 'OPTIONS') return reply.code(204).send()
    return sendProblem(reply, new Problem('method_not_allowed'))
  }
}

/** On these routes clients read `message` or `error` of a refusal. */
const OF_GLOBALAI = /^\/v1\/(sora|result)(\/|\?|$)/

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  const { code, errors, total } = problem
  const { status, title, fix } = PROBLEMS[code]
  if (code === 'operator_login_required' && asksForBasic(reply.request))
    reply.header('www-authenticate', 'Basic realm="Reelqueue", charset="UTF-8"')
  if (code === 'unauthorized') reply.header('www-authenticate', 'Bearer')
  if (code === 'unavailable') reply.header('retry-after', '5')
  if (code === 'backlog_full') reply.header('retry-after', '60')
  if (code === 'unsupported_media_type') {
    const takes = reply.request.routeOptions.schema?.consumes ?? ['application/json']
    reply.header('accept-post', takes.join(', ')).header('accept-encoding', 'gzip')
  }
  if (problem instanceof Later) reply.header('retry-after', String(problem.retryAfterSeconds))
  const told = errors?.map(tell)
  const detail = told && problem.detail === fix ? summarise(told, total ?? told.length) : problem.detail
  const { id, url } = reply.request
  const body = {
    type: `urn:reelqueue:problem:${code}`,
    title,
    status,
    code,
    detail,
    request_id: id,
    ...(OF_GLOBALAI.test(url) && { message: detail, error: detail }),
    errors: told,
    total,
  }
  // A URL with invalid percent-encoding passes no hook, so the headers are set here.
  reply.header('x-request-id', id).headers(REPLY_HEADERS)
  return reply.code(status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(body))
}

function asProblem(error: FastifyError | Problem, request: FastifyRequest): Problem {
  if (error instanceof Problem) return withOtherParts(error, request)
  if (error instanceof NoTurn) return new Later(error.isOwnShare ? 'too_many_at_once' : 'busy', NO_TURN_RETRY_S)
  const known = FASTIFY_REFUSALS[error.code]
  if (known) return new Problem(known)
  if (isBrokenGzip(error)) return new Problem('malformed_request', 'The body is no gzip, or ends too early.')
  if (error.statusCode !== undefined && error.statusCode < 500) return new Problem('malformed_request')
  const log: EventLog = request.log
  const why = whyUnavailable(error)
  if (why !== null) {
    log.warn({ event: 'request.unavailable', why, err: error.message })
    return new Problem('unavailable', `${AWAY[why]}. ${PROBLEMS.unavailable.fix}`)
  }
  log.error({ event: 'request.failed', err: error })
  return new Problem('internal_error', `Try again; the log has the cause under the request id ${request.id}.`)
}
