// From what zod and Postgres cannot take to the field errors that callers read.

import type { z } from 'zod'
import type { FieldError } from '../domain/problem.ts'

/** zod's issues as field errors. `prefix` is put before each field, such as `items.3`. */
export function fieldErrors(issues: readonly z.core.$ZodIssue[], prefix: readonly PropertyKey[] = []): FieldError[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path]
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ ...placeOf([...path, key]), rule: 'unknown_field', allowed: null }))
    }
    return [{ ...placeOf(path), ...ruleOf(issue) }]
  })
}

/** Names the field, and in a batch also the item's line. */
function placeOf(path: readonly PropertyKey[]): Pick<FieldError, 'field' | 'line'> {
  const [first, index] = path
  const line = first === 'items' && typeof index === 'number' ? { line: index + 1 } : {}
  return { field: path.join('.') || 'body', ...line }
}

function ruleOf(issue: z.core.$ZodIssue): Pick<FieldError, 'rule' | 'allowed'> {
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

/** Errors that one reply lists; further ones are only counted. */
export const ERRORS_MAX = 100
/** Levels of nesting: far more than anyone needs, and far fewer than overflow a stack here or in Postgres. */
const DEPTH_MAX = 64

export interface Unstorable {
  /** The first hundred. */
  readonly errors: readonly FieldError[]
  readonly total: number
}

/**
 * Fields that Postgres cannot store: text with U+0000 or a lone surrogate (keys of objects included), and what is nested
 * too deeply. One such field would fail the whole statement that it shares with other requests.
 */
export function unstorableText(root: unknown): Unstorable {
  const errors: FieldError[] = []
  const path: PropertyKey[] = []
  let total = 0

  function refuse(rule: string, allowed: unknown): void {
    total += 1
    if (errors.length < ERRORS_MAX) errors.push({ ...placeOf(path), rule, allowed })
  }
  function look(key: PropertyKey, value: unknown): void {
    path.push(key)
    walk(value)
    path.pop()
  }
  function walk(value: unknown): void {
    if (typeof value === 'string') {
      if (value.includes('\0') || !value.isWellFormed()) refuse('storable_text', 'well-formed Unicode without U+0000')
    } else if (typeof value === 'object' && value !== null) {
      if (path.length >= DEPTH_MAX) refuse('max_depth', DEPTH_MAX)
      else if (Array.isArray(value)) for (const [index, item] of value.entries()) look(index, item)
      else {
        for (const [key, item] of Object.entries(value)) {
          look('key', key)
          look(key, item)
        }
      }
    }
  }
  walk(root)
  return { errors, total }
}
