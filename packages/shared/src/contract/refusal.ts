// From what zod and Postgres cannot take to the field errors that callers read.

import type { z } from 'zod'
import type { FieldError } from '../domain/problem.ts'

/** zod's issues as field errors. `prefix` is put before each field, such as `items.3`. */
export function fieldErrors(issues: readonly z.core.$ZodIssue[], prefix: readonly PropertyKey[] = []): FieldError[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path]
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ field: [...path, key].join('.'), rule: 'unknown_field', allowed: null }))
    }
    return [{ field: path.join('.') || 'body', ...ruleOf(issue) }]
  })
}

function ruleOf(issue: z.core.$ZodIssue): Omit<FieldError, 'field'> {
  switch (issue.code) {
    case 'custom':
      return { rule: String(issue.params?.rule ?? 'invalid'), allowed: issue.params?.allowed ?? issue.message }
    case 'invalid_value':
      return { rule: 'one_of', allowed: issue.values }
    case 'too_small':
      return { rule: boundRule('min', issue.origin), allowed: Number(issue.minimum) }
    case 'too_big':
      return { rule: boundRule('max', issue.origin), allowed: Number(issue.maximum) }
    case 'invalid_type':
      return {
        rule: issue.input === undefined && /undefined/.test(issue.message) ? 'required' : 'type',
        allowed: issue.expected,
      }
    default:
      return { rule: 'invalid', allowed: issue.message }
  }
}

function boundRule(end: 'min' | 'max', origin: string): string {
  if (origin === 'string') return `${end}_length`
  return origin === 'array' ? `${end}_items` : end === 'min' ? 'minimum' : 'maximum'
}

/**
 * Fields holding text that Postgres cannot store (U+0000, lone surrogates), keys of objects included. One such field
 * would fail the whole statement that it shares with other requests.
 */
export function unstorableText(value: unknown, path: readonly PropertyKey[] = []): FieldError[] {
  if (typeof value === 'string') {
    return value.includes('\0') || !value.isWellFormed()
      ? [{ field: path.join('.') || 'body', rule: 'storable_text', allowed: 'well-formed Unicode without U+0000' }]
      : []
  }
  if (Array.isArray(value)) return value.flatMap((item, index) => unstorableText(item, [...path, index]))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, item]) => [
    ...unstorableText(key, [...path, 'key']),
    ...unstorableText(item, [...path, key]),
  ])
}
