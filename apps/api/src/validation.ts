// Checks requests by the zod schemas of their routes. A request that is wrong hears everything that is wrong with it at once: its
// address, query, headers and body. Only refusing costs that; a request that is right is checked once.

import { Readable } from 'node:stream'
import { ERRORS_MAX, fieldErrors, findUnfit, type UnfitRules } from '@reelqueue/shared/contract/refusal'
import { type FieldError, Problem } from '@reelqueue/shared/domain/problem'
import type { FastifyInstance, FastifyRequest, FastifySchema } from 'fastify'
import { z } from 'zod'

declare module 'fastify' {
  interface FastifyRequest {
    /** Numbers of the body that would not come back as they were written, and names that stand twice; null: none. */
    textErrors: readonly FieldError[] | null
  }
}

/** Replies are trusted (tests check them), so that sending stays cheap. */
export function checkWithZod(fastify: FastifyInstance, rules: UnfitRules): void {
  fastify.decorateRequest('textErrors', null)
  fastify.setValidatorCompiler(({ schema }) => {
    if (!(schema instanceof z.ZodType)) throw new Error('route schemas are zod schemas')
    return (data: unknown) => {
      if (data instanceof Readable) return { value: data }
      const result = schema.safeParse(data)
      if (result.success) return { value: result.data }
      return { error: refusalOf(fieldErrors(result.error.issues, [], schema)) }
    }
  })
  fastify.setSerializerCompiler(() => (data: unknown) => JSON.stringify(data))
  fastify.addHook('preValidation', (request, _reply, done) => done(unfitPart(request, rules)))
}

const refusalOf = (errors: readonly FieldError[], total = errors.length) =>
  new Problem('validation_failed', undefined, errors.slice(0, ERRORS_MAX), total)

/** What is wrong with a request before its schemas look at what it says. */
function unfitPart(request: FastifyRequest, rules: UnfitRules): Problem | undefined {
  const { params, query, body, textErrors } = request
  if (findUnfit(params).total > 0) return new Problem('not_found')
  const ofQuery = findUnfit(query)
  // A body that is read as a stream is checked as it is read.
  const ofBody = body instanceof Readable ? NOTHING : findUnfit(body, rules)
  const unasked = unaskedQuery(request)
  const errors = [...(textErrors ?? NONE), ...ofBody.errors, ...ofQuery.errors, ...unasked]
  if (errors.length === 0) return undefined
  const total = (textErrors?.length ?? 0) + ofBody.total + ofQuery.total + unasked.length
  if (ofBody.isTooMuch || ofQuery.isTooMuch) return refusalOf(errors, total)
  const besides = wrongParts(request, PARTS).filter(({ field }) => !errors.some((error) => error.field === field))
  return refusalOf([...errors, ...besides], total + besides.length)
}

const NONE: readonly FieldError[] = []
const NOTHING = { errors: NONE, total: 0, isTooMuch: false }

/** A query that the route knows nothing of is a slip, as an unknown field of a body is. */
function unaskedQuery(request: FastifyRequest): readonly FieldError[] {
  if (request.keyHash === undefined || request.routeOptions.schema?.querystring !== undefined) return NONE
  const fields = Object.keys(request.query ?? {})
  return fields.length === 0 ? NONE : fields.map((field) => ({ field, rule: 'unknown_field', allowed: null }))
}

/** In the order in which Fastify checks them; it stops at the first that is wrong. */
const PARTS = ['params', 'body', 'querystring', 'headers'] as const
type Part = (typeof PARTS)[number]

/** What one schema has refused, with what the schemas say that have not been asked yet. */
export function withOtherParts(
  problem: Problem & { readonly validationContext?: string },
  request: FastifyRequest,
): Problem {
  const at = PARTS.indexOf(problem.validationContext as Part)
  if (at === -1 || problem.code !== 'validation_failed') return problem
  const errors = problem.errors ?? NONE
  const others = wrongParts(request, PARTS.slice(at + 1))
  return others.length === 0
    ? problem
    : refusalOf([...errors, ...others], (problem.total ?? errors.length) + others.length)
}

/** Parts that have passed already are no longer as they came, so they must not be asked again. */
function wrongParts(request: FastifyRequest, parts: readonly Part[]): FieldError[] {
  const schemas: FastifySchema = request.routeOptions.schema ?? {}
  return parts.flatMap((part) => {
    const schema = schemas[part]
    const value = part === 'querystring' ? request.query : request[part]
    if (!(schema instanceof z.ZodType) || value instanceof Readable) return []
    const result = schema.safeParse(value)
    return result.success ? [] : fieldErrors(result.error.issues, [], schema)
  })
}
