// From what zod and Postgres cannot take to the field errors that callers read.

import type { z } from 'zod'
import type { FieldError } from '../domain/problem.ts'
import { METADATA_BYTES_MAX } from './generation-request.ts'

/** Characters of one key that an error repeats. */
const NAME_CHARS_MAX = 100

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
  return { field: path.map(nameOf).join('.') || 'body', ...line }
}

/** A key of megabytes would stand in each of a hundred errors. */
function nameOf(key: PropertyKey): string {
  const name = String(key)
  return name.length > NAME_CHARS_MAX ? `${name.slice(0, NAME_CHARS_MAX).toWellFormed()}…` : name
}

/** What a format is called where people read. */
const FORMATS: Readonly<Record<string, string>> = { datetime: 'a time such as 2026-11-25T20:00:00Z' }

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
        allowed: issue.expected === 'record' ? 'object' : issue.expected,
      }
    case 'invalid_format':
      return { rule: 'format', allowed: FORMATS[issue.format] ?? issue.format }
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
/** Keys of one object outside metadata: unknown ones are named one by one, so they must be few. */
const KEYS_MAX = 100

export interface Unfit {
  /** The first hundred. */
  readonly errors: readonly FieldError[]
  readonly total: number
}

/**
 * What must not reach zod or Postgres. Text with U+0000 or a lone surrogate (keys of objects included) and what is nested
 * too deeply would fail the whole statement that it shares with other requests; objects of too many keys and metadata
 * far above its bound would cost zod seconds and gigabytes. Such an object or metadata is not looked at any further.
 */
export function findUnfit(root: unknown): Unfit {
  const errors: FieldError[] = []
  const path: PropertyKey[] = []
  let total = 0
  /** Bytes that the metadata being walked may still have, counting the least that its JSON can take; null outside. */
  let room: number | null = null

  function refuse(rule: string, allowed: unknown): void {
    total += 1
    if (errors.length < ERRORS_MAX) errors.push({ ...placeOf(path), rule, allowed })
  }
  function look(key: PropertyKey, value: unknown): void {
    path.push(key)
    if (room === null && key === 'metadata' && typeof value === 'object') lookAtMetadata(value)
    else walk(value)
    path.pop()
  }
  function lookAtMetadata(value: unknown): void {
    room = METADATA_BYTES_MAX
    walk(value)
    if (room < 0) refuse('max_bytes', METADATA_BYTES_MAX)
    room = null
  }
  function walk(value: unknown): void {
    if (room !== null) room -= typeof value === 'string' ? value.length + 2 : 1
    if (isUsedUp()) return
    if (typeof value === 'string') {
      if (value.includes('\0') || !value.isWellFormed()) refuse('storable_text', 'well-formed Unicode without U+0000')
    } else if (typeof value === 'object' && value !== null) {
      if (path.length >= DEPTH_MAX) refuse('max_depth', DEPTH_MAX)
      else if (Array.isArray(value)) walkList(value)
      else walkObject(value as Record<string, unknown>)
    }
  }
  function walkList(list: readonly unknown[]): void {
    for (const [index, item] of list.entries()) {
      if (isUsedUp()) return
      look(index, item)
    }
  }
  function walkObject(object: Readonly<Record<string, unknown>>): void {
    const keys = Object.keys(object)
    if (room === null && keys.length > KEYS_MAX) {
      refuse('max_keys', KEYS_MAX)
      return
    }
    for (const key of keys) {
      if (isUsedUp()) return
      look('key', key)
      look(key, object[key])
    }
  }
  function isUsedUp(): boolean {
    return room !== null && room < 0
  }
  walk(root)
  return { errors, total }
}
