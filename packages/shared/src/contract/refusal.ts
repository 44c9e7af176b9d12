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
  const walk = new Walk()
  walk.at(root)
  return walk
}

/** A class, because closures would be made anew for each request. */
class Walk implements Unfit {
  readonly errors: FieldError[] = []
  total = 0
  readonly #path: PropertyKey[] = []
  /** Bytes that the metadata being walked may still have, counting the least that its JSON can take; null outside. */
  #room: number | null = null

  at(value: unknown): void {
    if (this.#room !== null) this.#room -= typeof value === 'string' ? value.length + 2 : 1
    if (this.#isUsedUp()) return
    if (typeof value === 'string') {
      if (value.includes('\0') || !value.isWellFormed())
        this.#refuse('storable_text', 'well-formed Unicode without U+0000')
    } else if (typeof value === 'object' && value !== null) {
      if (this.#path.length >= DEPTH_MAX) this.#refuse('max_depth', DEPTH_MAX)
      else if (Array.isArray(value)) this.#atList(value)
      else this.#atObject(value as Record<string, unknown>)
    }
  }
  #refuse(rule: string, allowed: unknown): void {
    this.total += 1
    if (this.errors.length < ERRORS_MAX) this.errors.push({ ...placeOf(this.#path), rule, allowed })
  }
  #look(key: PropertyKey, value: unknown): void {
    this.#path.push(key)
    if (this.#room === null && key === 'metadata' && typeof value === 'object') this.#atMetadata(value)
    else this.at(value)
    this.#path.pop()
  }
  #atMetadata(value: unknown): void {
    this.#room = METADATA_BYTES_MAX
    this.at(value)
    if (this.#isUsedUp()) this.#refuse('max_bytes', METADATA_BYTES_MAX)
    this.#room = null
  }
  #atList(list: readonly unknown[]): void {
    for (let index = 0; index < list.length; index++) {
      if (this.#isUsedUp()) return
      this.#look(index, list[index])
    }
  }
  #atObject(object: Readonly<Record<string, unknown>>): void {
    const keys = Object.keys(object)
    if (this.#room === null && keys.length > KEYS_MAX) {
      this.#refuse('max_keys', KEYS_MAX)
      return
    }
    for (const key of keys) {
      if (this.#isUsedUp()) return
      this.#look('key', key)
      this.#look(key, object[key])
    }
  }
  #isUsedUp(): boolean {
    return this.#room !== null && this.#room < 0
  }
}
