// Puts the API together: parsing, login, routes, documents. `buildApp` listens to nothing, so tests can inject.

import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import fastifyRateLimit from '@fastify/rate-limit'
import fastifySwagger from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import { ERRORS_MAX, fieldErrors, findUnfit } from '@reelqueue/shared/contract/refusal'
import { Problem } from '@reelqueue/shared/domain/problem'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyRequest, LogController } from 'fastify'
import { z } from 'zod'
import type { ApiDeps } from './deps.ts'
import { keyOf, requireProject } from './login.ts'
import { openapiOptions } from './openapi.ts'
import { replyNotFound, replyWithProblem } from './problem-reply.ts'
import { prefixLocations, publicPathOf, withoutPublicPath } from './public-address.ts'
import { batchActionRoutes } from './routes/batch-actions.ts'
import { batchIntake } from './routes/batch-intake.ts'
import { batchRoutes } from './routes/batches.ts'
import { generationActionRoutes } from './routes/generation-actions.ts'
import { generationRoutes } from './routes/generations.ts'
import { healthRoutes } from './routes/health.ts'
import { metricsRoute } from './routes/metrics.ts'
import { projectRoutes } from './routes/project.ts'
import { queueDashboard } from './routes/queue-dashboard.ts'
import { submittingRoutes } from './routes/submitting.ts'
import { upstreamShapeRoutes } from './routes/upstream-shape.ts'
import { webhookDeliveryRoutes } from './routes/webhook-deliveries.ts'
import { webhookEndpointRoutes } from './routes/webhook-endpoints.ts'
import { parseStrictJson } from './strict-json.ts'
import { withZod } from './typed-app.ts'

const BODY_BYTES_MAX = 1024 * 1024

export async function buildApp(deps: ApiDeps): Promise<FastifyInstance> {
  const log: FastifyBaseLogger = deps.log
  const { publicUrl, trustedProxies } = deps.settings
  const publicPath = publicPathOf(publicUrl)
  const fastify = Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_BYTES_MAX,
    // A close must not wait for a browser that keeps its connection open.
    forceCloseConnections: 'idle',
    // A batch of 200 MiB may come over a slow line.
    requestTimeout: 900_000,
    // Addresses that cannot be decoded never reach a route.
    frameworkErrors: (error, request, reply) => void replyWithProblem(error, request, reply),
    // Never `true`: then whoever calls could choose the address that limits and logs know it by.
    trustProxy: trustedProxies.length > 0 && [...trustedProxies],
    rewriteUrl: (request: IncomingMessage) => withoutPublicPath(publicPath, request.url ?? '/'),
  })
  checkWithZod(fastify)
  parseStrictJson(fastify)
  logRequests(fastify)
  closeWhatFallsIdle(fastify)
  prefixLocations(fastify, publicPath)
  fastify.setErrorHandler(replyWithProblem)
  fastify.setNotFoundHandler(replyNotFound)

  await fastify.register(fastifySwagger, openapiOptions(publicUrl))
  await fastify.register(fastifySwaggerUi, {
    routePrefix: '/docs',
    indexPrefix: publicPath,
    uiConfig: { tryItOutEnabled: true },
    theme: { title: 'Reelqueue API', css: [{ filename: 'reelqueue.css', content: '.topbar { display: none }' }] },
  })
  fastify.get('/openapi.json', { schema: { hide: true } }, async () => fastify.swagger())

  healthRoutes(withZod(fastify), deps)
  await fastify.register(async (keyed) => {
    keyed.decorateRequest('project')
    keyed.decorateRequest('keyHash')
    keyed.addHook('onRequest', async (request) => requireProject(deps, request))
    await limitKeys(keyed, deps)
    keyed.addHook('preValidation', (request, _reply, done) => done(unaskedQuery(request)))
    const app = withZod(keyed)
    generationRoutes(app, deps)
    generationActionRoutes(app, deps)
    await keyed.register(async (intake) => batchIntake(intake, deps))
    batchRoutes(app, deps)
    batchActionRoutes(app, deps)
    upstreamShapeRoutes(app, deps)
    projectRoutes(app, deps)
    webhookEndpointRoutes(app, deps)
    webhookDeliveryRoutes(app, deps)
  })
  await fastify.register(async (operators) => submittingRoutes(withZod(operators), deps))
  await fastify.register(async (operators) => metricsRoute(withZod(operators), deps))
  await queueDashboard(fastify, deps)
  return fastify
}

/** After the key is known, before anything is read. */
async function limitKeys(keyed: FastifyInstance, { settings }: ApiDeps): Promise<void> {
  if (settings.requestsPerMinutePerKey === undefined) return
  await keyed.register(fastifyRateLimit, {
    max: settings.requestsPerMinutePerKey,
    timeWindow: 60_000,
    keyGenerator: (request) =>
      createHash('sha256')
        .update(keyOf(request) ?? '')
        .digest('base64'),
    errorResponseBuilder: () => new Problem('rate_limited'),
  })
}

/** A query that the route knows nothing of is a slip, as an unknown field of a body is. */
function unaskedQuery(request: FastifyRequest): Problem | undefined {
  const fields = Object.keys(request.query ?? {})
  if (fields.length === 0 || request.routeOptions.schema?.querystring !== undefined) return undefined
  const errors = fields.map((field) => ({ field, rule: 'unknown_field', allowed: null }))
  return new Problem('validation_failed', undefined, errors.slice(0, ERRORS_MAX), errors.length)
}

/** Requests are checked by their zod schemas; replies are trusted (tests check them), so that sending stays cheap. */
function checkWithZod(fastify: FastifyInstance): void {
  fastify.setValidatorCompiler(({ schema }) => {
    if (!(schema instanceof z.ZodType)) throw new Error('route schemas are zod schemas')
    return (data: unknown) => {
      if (data instanceof Readable) return { value: data }
      const result = schema.safeParse(data)
      if (result.success) return { value: result.data }
      const errors = fieldErrors(result.error.issues)
      return { error: new Problem('validation_failed', undefined, errors.slice(0, ERRORS_MAX), errors.length) }
    }
  })
  fastify.setSerializerCompiler(() => (data: unknown) => JSON.stringify(data))
  fastify.addHook('preValidation', (request, _reply, done) => done(unfitPart(request)))
}

/** What is wrong with a request before anyone looks at what it says. */
function unfitPart({ params, query, body }: FastifyRequest): Problem | undefined {
  if (findUnfit(params).total > 0) return new Problem('not_found')
  for (const part of [query, body]) {
    // A body that is read as a stream is checked as it is read.
    if (part instanceof Readable) continue
    const { errors, total } = findUnfit(part)
    if (total > 0) return new Problem('validation_failed', undefined, errors, total)
  }
  return undefined
}

/**
 * Fastify closes the connections that are idle when a close begins. One that answers a last request just then would be
 * kept alive, and the close would wait for it for over a minute.
 */
function closeWhatFallsIdle(fastify: FastifyInstance): void {
  fastify.addHook('preClose', async () => {
    const closing = setInterval(() => fastify.server.closeIdleConnections(), 50)
    fastify.server.once('close', () => clearInterval(closing))
    closing.unref()
  })
}

/** One line for each request: what was asked, the answer, how long it took; never a body, a query or a header. */
function logRequests(fastify: FastifyInstance): void {
  fastify.addHook('onResponse', (request, reply, done) => {
    request.log.info({
      event: 'request.completed',
      method: request.method,
      route: request.routeOptions.url ?? 'unknown',
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime * 10) / 10,
    })
    done()
  })
}
