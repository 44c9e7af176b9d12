import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { problemsOf, type Route } from './routes/route.ts'
import { ROUTES } from './routes.ts'

/** What clients rely on: generated clients name their methods by the id. A row may be added; none is removed or renamed. */
const PROMISED = [
  'createGeneration: POST /v1/generations',
  'listGenerations: GET /v1/generations',
  'getGeneration: GET /v1/generations/{id}',
  'listGenerationEvents: GET /v1/generations/{id}/events',
  'cancelGeneration: POST /v1/generations/{id}/cancel',
  'retryGeneration: POST /v1/generations/{id}/retry',
  'adoptTask: POST /v1/generations/{id}/adopt',
  'createBatch: POST /v1/batches',
  'listBatches: GET /v1/batches',
  'getBatch: GET /v1/batches/{id}',
  'listBatchResults: GET /v1/batches/{id}/results',
  'cancelBatch: POST /v1/batches/{id}/cancel',
  'retryBatch: POST /v1/batches/{id}/retry',
  'changeBatch: PATCH /v1/batches/{id}',
  'createGlobalAiTask: POST /v1/sora/videos',
  'getGlobalAiTask: GET /v1/result/{id}',
  'getProject: GET /v1/project',
  'changeProject: PATCH /v1/project',
  'rotateProjectSecret: POST /v1/project/rotate_webhook_secret',
  'pauseProject: POST /v1/project/pause',
  'resumeProject: POST /v1/project/resume',
  'createWebhookEndpoint: POST /v1/webhook_endpoints',
  'listWebhookEndpoints: GET /v1/webhook_endpoints',
  'getWebhookEndpoint: GET /v1/webhook_endpoints/{id}',
  'changeWebhookEndpoint: PATCH /v1/webhook_endpoints/{id}',
  'deleteWebhookEndpoint: DELETE /v1/webhook_endpoints/{id}',
  'rotateWebhookEndpointSecret: POST /v1/webhook_endpoints/{id}/rotate_secret',
  'testWebhookEndpoint: POST /v1/webhook_endpoints/{id}/test',
  'redeliverToWebhookEndpoint: POST /v1/webhook_endpoints/{id}/redeliver',
  'listWebhookDeliveries: GET /v1/webhook_deliveries',
  'getWebhookDelivery: GET /v1/webhook_deliveries/{id}',
  'redeliverWebhook: POST /v1/webhook_deliveries/{id}/redeliver',
  'getHealth: GET /healthz',
  'getReadiness: GET /readyz',
  'getMetrics: GET /metrics',
  'getSubmitting: GET /admin/submitting',
  'pauseSubmitting: POST /admin/submitting/pause',
  'resumeSubmitting: POST /admin/submitting/resume',
  'adoptTaskAsOperator: POST /admin/generations/{id}/adopt',
  'listAllGenerations: GET /admin/v1/generations',
  'readGeneration: GET /admin/v1/generations/{id}',
  'readTimeline: GET /admin/v1/generations/{id}/timeline',
  'find: GET /admin/v1/find',
  'listAudit: GET /admin/v1/audit',
  'logIn: POST /admin/v1/session',
  'getMe: GET /admin/v1/session',
  'logOut: DELETE /admin/v1/session',
  'listSessions: GET /admin/v1/sessions',
  'endSession: DELETE /admin/v1/sessions/{id}',
  'listOperators: GET /admin/v1/operators',
  'createOperator: POST /admin/v1/operators',
  'changeOperator: PATCH /admin/v1/operators/{id}',
]

const rows: readonly (readonly [string, Route])[] = Object.entries(ROUTES)

describe('the table of routes', () => {
  it('has every route that clients rely on, under its id', () => {
    expect(rows.map(([id, { method, path }]) => `${id}: ${method} ${path}`)).toEqual(PROMISED)
  })

  it('has no method and path twice', () => {
    const names = rows.map(([, { method, path }]) => `${method} ${path}`)
    expect(new Set(names).size).toBe(names.length)
  })

  it.each(rows)('%s describes each part of its path, and at least one reply', (_id, { path, params, replies }) => {
    const parts = [...path.matchAll(/\{(\w+)\}/g)].map(([, part]) => part)
    expect(params instanceof z.ZodObject ? Object.keys(params.shape) : []).toEqual(parts)
    expect(Object.keys(replies).some((status) => status.startsWith('2'))).toBe(true)
  })

  it.each(rows)('%s names no problem twice, and those of its caller', (_id, row) => {
    const problems = problemsOf(row)
    expect(new Set(problems).size).toBe(problems.length)
    expect(problems.includes('unauthorized')).toBe(row.caller === 'key')
    expect(problems.includes('operator_login_required')).toBe(row.caller === 'operator')
  })

  it.each(rows)('%s lets callers with a key stand below /v1, and no others', (_id, { caller, path }) => {
    expect(path.startsWith('/v1/')).toBe(caller === 'key')
  })
})
