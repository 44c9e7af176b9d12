// Turns zod's issues, and values that zod and Postgres cannot take, into field errors for callers.

import type { z } from 'zod'
import { hasPrivateHost, IMAGE_URL_CHARS_MAX } from '../terms/image-url.ts'
import type { FieldError } from '../terms/problem.ts'
import { isKeptNumber } from '../text/json-numbers.ts'
import type { TextFault } from '../text/json-text.ts'
import { METADATA_BYTES_MAX } from './generation-request.ts'
import { keysAt } from './schema-keys.ts'

/** Characters of one key that an error repeats. */
const NAME_CHARS_MAX = 100

/**
 * zod's issues as field errors. `prefix` is put before each field, such as `items.3`. `schema` provides the allowed
 * field names.
 */
export function fieldErrors(
  issues: readonly z.core.$ZodIssue[],
  prefix: readonly PropertyKey[] = [],
  schema?: z.core.$ZodType,
): FieldError[] {
  return issues.flatMap((issue): FieldError[] => {
    const path = [...prefix, ...issue.path]
    if (issue.code === 'unrecognized_keys') {
      const allowed = schema ? keysAt(schema, issue.path) : null
      return issue.keys.map((key) => ({ ...placeOf([...path, key]), rule: 'unknown_field', allowed }))
    }
    return [{ ...placeOf(path), ...ruleOf(issue) }]
  })
}

/** Names the field, and in a batch also the line of the item. */
function placeOf(path: readonly PropertyKey[]): Pick<FieldError, 'field' | 'line'> {
  const [first, index] = path
  const line = first === 'items' && typeof index === 'number' ? { line: index + 1 } : {}
  return { field: path.map(nameOf).join('.') || 'body', ...line }
}

/** Cuts a long key: a key of megabytes would be in each of a hundred errors. */
function nameOf(key: PropertyKey): string {
  const name = String(key)
  return name.length > NAME_CHARS_MAX ? `${name.slice(0, NAME_CHARS_MAX).toWellFormed()}…` : name
}

/** The names of formats for people. */
const FORMATS: Readonly<Record<string, string>> = { datetime: 'a time such as 2026-11-25T20:00:00Z' }

function ruleOf(issue: z.core.$ZodIssue): Pick<FieldError, 'rule' | 'allowed' | 'received'> {
  switch (issue.code) {
    case 'custom': {
      const { rule = 'invalid', allowed = issue.message, received } = issue.params ?? {}
      return { rule: String(rule), allowed, ...(typeof received === 'string' && { received }) }
    }
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

/** Errors listed in one reply; further errors are only counted. */
export const ERRORS_MAX = 100
/** Levels of nesting: far more than a request needs, and far fewer than overflow a stack here or in Postgres. */
const DEPTH_MAX = 64
/** Keys of one object outside metadata. Unknown keys are named one by one, so the number must be small. */
const KEYS_MAX = 100

/** More images than any model takes. */
const IMAGES_LOOKED_AT = 100

export interface UnstorableText {
  /** The first hundred. */
  readonly errors: readonly FieldError[]
  readonly total: number
  /** The value must not even reach zod. */
  readonly isTooMuch: boolean
}

/** Further rules to judge a value. */
export interface StorableRules {
  /** Whether images may come from private hosts. */
  readonly allowPrivateImageHosts?: boolean
}

/** The faults of a JSON text as field errors. */
export function textErrors(found: readonly TextFault[], prefix: readonly PropertyKey[] = []): FieldError[] {
  return found.map(({ kind, path }) => ({ ...placeOf([...prefix, ...path]), ...TEXT_RULES[kind] }))
}

const UNSAFE_NUMBER = {
  rule: 'unsafe_number',
  allowed: 'a number that a 64-bit float holds exactly, or a string',
} as const
export const TEXT_RULES = {
  unsafe_number: UNSAFE_NUMBER,
  duplicate_key: { rule: 'duplicate_key', allowed: 'each name once in an object' },
} as const
/** JavaScript cannot keep a field of this name everywhere, because the name means the prototype of an object. */
const RESERVED_KEY = '__proto__'

/**
 * Finds values that must not reach zod or Postgres. A text with U+0000 or a lone surrogate (also in keys), or too deep
 * nesting, would fail the whole statement that several requests share. An object with too many keys, or metadata far
 * above its bound, would cost zod seconds and gigabytes, so the search does not enter the object. Also found: numbers
 * and keys that would not come back unchanged, and images in private networks.
 */
export function findUnstorableText(
  root: unknown,
  { allowPrivateImageHosts = false }: StorableRules = {},
): UnstorableText {
  const walk = new Walk(allowPrivateImageHosts)
  walk.at(root)
  return walk
}

/** A class, because closures would be created again for each request. */
class Walk implements UnstorableText {
  readonly errors: FieldError[] = []
  total = 0
  isTooMuch = false
  readonly #allowPrivateImageHosts: boolean
  readonly #path: PropertyKey[] = []
  /** Bytes left for the metadata being walked, by the smallest possible size of its JSON; null outside metadata. */
  #room: number | null = null

  constructor(allowPrivateImageHosts: boolean) {
    this.#allowPrivateImageHosts = allowPrivateImageHosts
  }

  at(value: unknown): void {
    if (this.#room !== null) this.#room -= typeof value === 'string' ? value.length + 2 : 1
    if (this.#isUsedUp()) return
    if (typeof value === 'string') {
      if (value.includes('\0') || !value.isWellFormed())
        this.#refuse('storable_text', 'well-formed Unicode without U+0000')
    } else if (typeof value === 'number') {
      if (!isKeptNumber(value)) this.#refuse(UNSAFE_NUMBER.rule, UNSAFE_NUMBER.allowed)
    } else if (typeof value === 'object' && value !== null) {
      if (this.#path.length >= DEPTH_MAX) this.#refuse('max_depth', DEPTH_MAX)
      else if (Array.isArray(value)) this.#atList(value)
      else this.#atObject(value as Record<string, unknown>)
    }
  }
  #refuse(rule: string, allowed: unknown): void {
    this.total += 1
    if (rule.startsWith('max_')) this.isTooMuch = true
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
    const field = this.#room === null ? this.#path.at(-1) : undefined
    const areImages = (field === 'input_reference' || field === 'image_urls') && !this.#allowPrivateImageHosts
    for (let index = 0; index < list.length; index++) {
      if (this.#isUsedUp()) return
      this.#look(index, list[index])
      if (areImages) this.#atImage(index, list[index])
    }
  }
  #atImage(index: number, value: unknown): void {
    if (typeof value !== 'string' || value.length > IMAGE_URL_CHARS_MAX || index >= IMAGES_LOOKED_AT) return
    if (!hasPrivateHost(value)) return
    this.#path.push(index)
    this.#refuse('private_host', 'the URL of an image in the internet')
    this.#path.pop()
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
      if (key === RESERVED_KEY) this.#refuseKey(key)
      this.#look(key, object[key])
    }
  }
  #refuseKey(key: string): void {
    this.#path.push(key)
    this.#refuse('reserved_key', `any name but ${RESERVED_KEY}`)
    this.#path.pop()
  }
  #isUsedUp(): boolean {
    return this.#room !== null && this.#room < 0
  }
}
