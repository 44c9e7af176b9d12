// Checks requests with the zod schemas of the routes. A refusal lists all errors at once: path, query, headers and
// body. Only refusals pay for the full list; a valid request is checked once.

import { Readable } from 'node:stream'
import { type FieldError, Problem } from '@reelqueue/contract/terms/problem'
import { ERRORS_MAX, fieldErrors, findUnstorableText, type StorableRules } from '@reelqueue/contract/wire/refusal'
import type { FastifyInstance, FastifyRequest, FastifySchema } from 'fastify'
import { z } from 'zod'

declare module 'fastify' {
  interface FastifyRequest {
    /** Numbers of the body that JSON.parse would change, and duplicate names; null: no faults. */
    textErrors: readonly FieldError[] | null
  }
}

/** Replies are not validated at run time (tests check replies), so sending stays cheap. */
export function checkWithZod(fastify: FastifyInstance, rules: StorableRules): void {
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
  fastify.addHook('preValidation', (request, _reply, done) => done(unstorablePart(request, rules)))
}

const refusalOf = (errors: readonly FieldError[], total = errors.length) =>
  new Problem('validation_failed', undefined, errors.slice(0, ERRORS_MAX), total)

/** Faults of a request found before the schemas run. */
function unstorablePart(request: FastifyRequest, rules: StorableRules): Problem | undefined {
  const { params, query, body, textErrors } = request
  if (findUnstorableText(params).total > 0) return new Problem('not_found')
  const ofQuery = findUnstorableText(query)
  // A streamed body is checked while reading.
  const ofBody = body instanceof Readable ? NOTHING : findUnstorableText(body, rules)
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

/** A query on a route without query parameters is a mistake, like an unknown field of a body. */
function unaskedQuery(request: FastifyRequest): readonly FieldError[] {
  if (request.keyHash === undefined || request.routeOptions.schema?.querystring !== undefined) return NONE
  const fields = Object.keys(request.query ?? {})
  return fields.length === 0 ? NONE : fields.map((field) => ({ field, rule: 'unknown_field', allowed: null }))
}

/** The order of Fastify's checks; Fastify stops at the first failure. */
const PARTS = ['params', 'body', 'querystring', 'headers'] as const
type Part = (typeof PARTS)[number]

/** The refusal of one schema, together with the errors of the schemas not checked yet. */
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

/** Checks only the parts that Fastify has not validated: validated parts were replaced by the parsed values. */
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
