// Processes the items of a batch in order: applies defaults, checks, counts. At most a hundred errors are kept and
// further errors only counted, so a bad batch needs no more memory than a good batch.

import { type FieldError, Problem } from '@reelqueue/contract/terms/problem'
import type { TextFault } from '@reelqueue/contract/text/json-text'
import { BATCH_ITEMS_MAX } from '@reelqueue/contract/wire/batch'
import { generationRequest, type NormalRequest, normalForm } from '@reelqueue/contract/wire/generation-request'
import {
  ERRORS_MAX,
  fieldErrors,
  findUnstorableText,
  type StorableRules,
  textErrors,
} from '@reelqueue/contract/wire/refusal'

export interface BatchFrame {
  readonly defaults: Readonly<Record<string, unknown>>
  /** Used by items without a `webhook_url`. */
  readonly webhookUrl: string | null
}

export interface ItemReader {
  /** Checks an item. @returns null for an invalid item; `finish` throws the errors */
  read(item: unknown, place: Place): NormalRequest | null
  /** Records an unreadable item. */
  refuse(error: FieldError): null
  /** @throws Problem `validation_failed` with the first hundred errors of all items and the total number */
  finish(): void
  readonly hasErrors: boolean
}

export interface Place {
  /** Number of the item in the batch, from 1. */
  readonly line: number
  /** Prefix of the item's field names: `['items', 3]` in a JSON document. */
  readonly path: readonly PropertyKey[]
  /** Faults visible only in the item's text. */
  readonly faults?: readonly TextFault[] | undefined
}

/** @throws Problem `batch_too_large` from `read`, as soon as the batch has too many items */
export function readItems({ defaults, webhookUrl }: BatchFrame, rules: StorableRules): ItemReader {
  const complete = completeBy(defaults)
  const seen = new Set<string>()
  const errors: FieldError[] = []
  let items = 0
  let total = 0

  function note(found: readonly FieldError[], count = found.length): void {
    total += count
    errors.push(...found.slice(0, ERRORS_MAX - errors.length))
  }
  function check(item: unknown, { line, path, faults = [] }: Place): NormalRequest | null {
    const at = (error: FieldError) => ({ ...error, line })
    const named = (field: string) => [...path, field].join('.')
    const unstorable = findUnstorableText(item, rules)
    const isUnstorable = unstorable.total > 0 || faults.length > 0
    if (isUnstorable) {
      note(textErrors(faults, path).map(at))
      note(
        unstorable.errors.map((error) => at({ ...error, field: named(error.field) })),
        unstorable.total,
      )
      if (unstorable.isTooMuch) return null
    }
    const parsed = generationRequest.safeParse(complete(item))
    if (!parsed.success) {
      const hint = isOpenAiLine(item) ? [{ field: [...path, 'body'].join('.'), ...FLAT }] : null
      note((hint ?? fieldErrors(parsed.error.issues, path, generationRequest)).map(at))
      return null
    }
    if (isUnstorable) return null
    const normal = normalForm(parsed.data)
    if (normal.customId !== null && seen.has(normal.customId)) {
      note([
        {
          field: named('custom_id'),
          rule: 'unique',
          allowed: 'a custom_id that no other item of the batch has',
          line,
        },
      ])
      return null
    }
    if (normal.customId !== null) seen.add(normal.customId)
    return { ...normal, webhookUrl: normal.webhookUrl ?? webhookUrl }
  }
  function count(): void {
    if (++items > BATCH_ITEMS_MAX) throw new Problem('batch_too_large')
  }

  return {
    read(item, place) {
      count()
      return check(item, place)
    },
    refuse(error) {
      count()
      note([error])
      return null
    },
    finish() {
      if (items === 0) note([{ field: 'body', rule: 'min_items', allowed: 1 }])
      if (total > 0) throw new Problem('validation_failed', undefined, errors, total)
    },
    get hasErrors() {
      return total > 0
    },
  }
}

/** One error instead of an error for each field around the request. */
const FLAT = {
  rule: 'flat_item',
  allowed: 'absent: put the fields of `body` beside `custom_id`, such as {"custom_id":"a","model":"…","prompt":"…"}',
} as const

/** A line in OpenAI's batch format: `{"custom_id", "method", "url", "body"}`. */
function isOpenAiLine(item: unknown): boolean {
  if (typeof item !== 'object' || item === null) return false
  return 'body' in item && typeof item.body === 'object' && !('prompt' in item) && ('url' in item || 'method' in item)
}

/** Pairs of names for the same field: an item with either name overrides the defaults of both names. */
const ALIASES: Readonly<Record<string, string>> = {
  size: 'aspect_ratio',
  aspect_ratio: 'size',
  seconds: 'duration',
  duration: 'seconds',
  input_reference: 'image_urls',
  image_urls: 'input_reference',
}

function completeBy(defaults: Readonly<Record<string, unknown>>): (item: unknown) => unknown {
  const fallbacks = Object.entries(defaults)
  if (fallbacks.length === 0) return (item) => item
  return (item) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item
    const own: Readonly<Record<string, unknown>> = { ...item }
    const fallback = fallbacks.filter(([field]) => own[ALIASES[field] ?? field] == null)
    return { ...Object.fromEntries(fallback), ...own }
  }
}
