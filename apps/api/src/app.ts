// Builds the API: parsing, login, routes, documents. `buildApp` does not listen, so tests can use `inject`.

import type { IncomingMessage } from 'node:http'
import fastifySwagger from '@fastify/swagger'
import type { EventLog } from '@reelqueue/shared/runtime/log'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import { boundBodies } from './bodies.ts'
import { endGently } from './closing.ts'
import { packReplies, unpackBodies } from './compression.ts'
import type { ApiDeps } from './deps.ts'
import { serveDocuments } from './documents.ts'
import { limitKeys } from './key-limit.ts'
import { noteRoutes } from './known-routes.ts'
import { requireProject } from './login.ts'
import { withoutLoginPage } from './login-challenge.ts'
import { openapiOptions } from './openapi.ts'
import { guardPages } from './page-origin.ts'
import { replyNotFound, replyWithProblem } from './problem-reply.ts'
import { prefixLocations, publicPathOf, withoutPublicPath } from './public-address.ts'
import { answerExpectations, answerRawErrors, nameRequests, newRequestId } from './request-id.ts'
import { takeRequestTurns } from './request-turns.ts'
import { auditRoutes } from './routes/admin/audit.ts'
import { operatorGenerationRoutes } from './routes/admin/generations.ts'
import { operatorRoutes } from './routes/admin/operators.ts'
import { logInRoute, sessionRoutes } from './routes/admin/sessions.ts'
import { adoptionRoute, operatorAdoptionRoute } from './routes/adoption.ts'
import { batchActionRoutes } from './routes/batch-actions.ts'
import { batchIntake } from './routes/batch-intake.ts'
import { batchRoutes } from './routes/batches.ts'
import { globalAiRoutes } from './routes/compat/globalai.ts'
import { generationActionRoutes } from './routes/generation-actions.ts'
import { generationRoutes } from './routes/generations.ts'
import { healthRoutes } from './routes/health.ts'
import { metricsRoute } from './routes/metrics.ts'
import { projectRoutes } from './routes/project.ts'
import { queueDashboard } from './routes/queue-dashboard.ts'
import { submittingRoutes } from './routes/submitting.ts'
import { webhookDeliveryRoutes } from './routes/webhook-deliveries.ts'
import { webhookEndpointActionRoutes } from './routes/webhook-endpoint-actions.ts'
import { webhookEndpointRoutes } from './routes/webhook-endpoints.ts'
import { parseStrictJson } from './strict-json.ts'
import { compareWithTable, routesFor } from './typed-app.ts'
import { endUnreadBodies } from './unread-bodies.ts'
import { checkWithZod } from './validation.ts'

const BODY_BYTES_MAX = 1024 * 1024
/**
 * Limit from the first byte of a request to the last: a batch of 200 MiB may arrive over a slow line. Other bodies have
 * a shorter limit (bodies.ts).
 */
export const REQUEST_MAX_MS = 900_000
export const HEADERS_MAX_MS = 15_000

export async function buildApp(deps: ApiDeps): Promise<FastifyInstance> {
  const log: FastifyBaseLogger = deps.log.pino
  const { publicUrl, trustedProxies } = deps.settings
  const publicPath = publicPathOf(publicUrl)
  const fastify = Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_BYTES_MAX,
    // A close must not wait for a browser with an open connection.
    forceCloseConnections: 'idle',
    // Fastify's own 503 has neither a request id nor `Retry-After` (closing.ts sends the 503).
    return503OnClosing: false,
    requestTimeout: REQUEST_MAX_MS,
    http: { headersTimeout: HEADERS_MAX_MS, connectionsCheckingInterval: 5_000 },
    // A URL with invalid percent-encoding never reaches a route.
    frameworkErrors: (error, request, reply) => void replyWithProblem(error, request, reply),
    genReqId: newRequestId,
    // Bytes that are not HTTP never reach a route.
    clientErrorHandler: answerRawErrors,
    // Never `true`: a client could then choose the address used by limits and logs.
    trustProxy: trustedProxies.length > 0 && [...trustedProxies],
    rewriteUrl: (request: IncomingMessage) => withoutPublicPath(publicPath, request.url ?? '/'),
  })
  checkWithZod(fastify, deps.settings)
  nameRequests(fastify)
  answerExpectations(fastify)
  endGently(fastify)
  boundBodies(fastify, BODY_BYTES_MAX)
  unpackBodies(fastify)
  parseStrictJson(fastify)
  guardPages(fastify)
  packReplies(fastify)
  endUnreadBodies(fastify)
  logRequests(fastify)
  withoutLoginPage(fastify)
  prefixLocations(fastify, publicPath)
  fastify.setErrorHandler(replyWithProblem)
  const notFound = replyNotFound(noteRoutes(fastify))
  const refuseGaps = compareWithTable(fastify)
  fastify.setNotFoundHandler(notFound)
  // Reply 404 before the body is read.
  fastify.addHook('onRequest', (request, reply, done) => (request.is404 ? void notFound(request, reply) : done()))

  await fastify.register(fastifySwagger, openapiOptions(publicUrl))
  serveDocuments(fastify)

  healthRoutes(routesFor<'anyone'>(fastify), deps)
  logInRoute(routesFor<'anyone'>(fastify), deps)
  await fastify.register(async (keyed) => {
    keyed.decorateRequest('project')
    keyed.decorateRequest('keyHash')
    keyed.addHook('onRequest', async (request) => requireProject(deps, request))
    await limitKeys(keyed, deps.settings.requestsPerMinutePerKey)
    takeRequestTurns(keyed, deps)
    const serve = routesFor<'key'>(keyed)
    generationRoutes(serve, deps)
    generationActionRoutes(serve, deps)
    adoptionRoute(serve, deps)
    await keyed.register(async (intake) => batchIntake(intake, deps))
    batchRoutes(serve, deps)
    batchActionRoutes(serve, deps)
    globalAiRoutes(serve, deps)
    projectRoutes(serve, deps)
    webhookEndpointRoutes(serve, deps)
    webhookEndpointActionRoutes(serve, deps)
    webhookDeliveryRoutes(serve, deps)
  })
  await fastify.register(async (operators) => {
    operators.decorateRequest('operator')
    operators.addHook('onRequest', async (request, reply) => deps.operators.require(request, reply))
    const serve = routesFor<'operator'>(operators)
    submittingRoutes(serve, deps)
    operatorAdoptionRoute(serve, deps)
    metricsRoute(serve, deps)
    sessionRoutes(serve, deps)
    operatorGenerationRoutes(serve, deps)
    auditRoutes(serve, deps)
    operatorRoutes(serve, deps)
  })
  await queueDashboard(fastify, deps)
  refuseGaps()
  return fastify
}

/** Logs one line for each request: method, route, status and duration, never a body, a query or a header. */
function logRequests(fastify: FastifyInstance): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    const log: EventLog = request.log
    log.info({
      event: 'request.completed',
      method: request.method,
      route: request.routeOptions.url ?? 'unknown',
      httpStatus: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime * 10) / 10,
    })
    done()
  })
}
