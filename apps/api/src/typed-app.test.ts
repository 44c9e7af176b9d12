import { ROUTES } from '@reelqueue/contract/routes'
import Fastify from 'fastify'
import { describe, expect, it } from 'vitest'
import { compareWithTable, routesFor } from './typed-app.ts'

describe('compareWithTable', () => {
  it('names every row that has no handler', () => {
    const fastify = Fastify()
    const refuseGaps = compareWithTable(fastify)
    routesFor<'anyone'>(fastify)('getHealth', async () => ({ status: 'ok' as const }))
    expect(refuseGaps).toThrow(/no handler for createGeneration, /)
    expect(refuseGaps).not.toThrow(/getHealth/)
  })

  it('is content once every row has a handler', () => {
    const fastify = Fastify()
    const refuseGaps = compareWithTable(fastify)
    for (const [operationId, { method, path }] of Object.entries(ROUTES)) {
      const config = { operationId: operationId as keyof typeof ROUTES }
      fastify.route({ method, url: path.replace('{id}', ':id'), config, handler: async () => null })
    }
    expect(refuseGaps).not.toThrow()
  })

  it('refuses a documented route without a row, and leaves hidden ones alone', () => {
    const fastify = Fastify()
    compareWithTable(fastify)
    fastify.get('/hidden', { schema: { hide: true } }, async () => null)
    expect(() => fastify.get('/v1/unknown', async () => null)).toThrow(
      'GET /v1/unknown has no row in the table of routes',
    )
  })
})

it('a handler that returns another body than its row says does not compile', () => {
  const serve = routesFor<'anyone'>(Fastify())
  // @ts-expect-error the status is `ok`
  serve('getHealth', async () => ({ status: 'well' }))
  // @ts-expect-error no such row
  expect(() => serve('getNothing', async () => null)).toThrow()
  // @ts-expect-error a row of other callers
  serve('getProject', async () => undefined)
})
