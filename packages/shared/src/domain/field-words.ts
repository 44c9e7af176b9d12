// The fault of a field, in a sentence for people. Programs read `rule` and `allowed`.

import type { FieldError } from '@reelqueue/contract/terms/problem'

export interface ToldError extends FieldError {
  readonly message: string
  /** The allowed name or value that is most similar to the received text. */
  readonly did_you_mean?: string
}

const LIST_MAX = 12

const WORDS: Readonly<Record<string, (field: string, allowed: string) => string>> = {
  required: (field, allowed) => `${field} is missing; it is a ${allowed}`,
  type: (field, allowed) => `${field} must be of type ${allowed}`,
  one_of: (field, allowed) => `${field} must be one of ${allowed}`,
  min_length: (field, allowed) => `${field} needs ${allowed} character or more`,
  max_length: (field, allowed) => `${field} may have ${allowed} characters`,
  min_items: (field, allowed) => `${field} needs ${allowed} element or more`,
  max_items: (field, allowed) => `${field} may have ${allowed} elements`,
  max_keys: (field, allowed) => `${field} may have ${allowed} keys`,
  max_depth: (field, allowed) => `${field} is nested more than ${allowed} levels deep`,
  max_bytes: (field, allowed) => `${field} may have ${allowed} bytes`,
  minimum: (field, allowed) => `${field} must be at least ${allowed}`,
  maximum: (field, allowed) => `${field} must be at most ${allowed}`,
  blank: (field) => `${field} has no character that can be seen`,
  exclusive: (_field, allowed) => `give ${allowed}, not both`,
  unique: (field) => `${field} is that of another item of the batch`,
  unknown_field: (field, allowed) => `${field} is not known${allowed === '' ? '' : `; known are ${allowed}`}`,
  duplicate_key: (field) => `${field} is given more than once; give it once`,
  reserved_key: (field) => `${field} has a name that cannot be kept; give it another name`,
  unsafe_number: (field) => `${field} is a number that would not come back as it was written; send it as a string`,
  private_host: (field) => `${field} leads into a private network, which the provider cannot reach`,
  lines_only: (field) => `${field} belongs into the body of a JSON document, not into the query`,
}

/** A field error with its sentence. Pure. */
export function tell(error: FieldError): ToldError {
  const { field, rule, allowed } = error
  const words = WORDS[rule] ?? ((name: string, would: string) => `${name} must be ${would}`)
  const message = words(`\`${field}\``, inWords(allowed))
  const near = Array.isArray(allowed) ? nearest(error.received ?? lastOf(field), allowed) : null
  const { received: _, ...rest } = error
  return near === null
    ? { ...rest, message: `${message}.` }
    : { ...rest, message: `${message}. Did you mean \`${near}\`?`, did_you_mean: near }
}

/** The first errors in one line: a reader who logs only `detail` knows what to correct. */
export function summarise(told: readonly ToldError[], total: number): string {
  const first = told
    .slice(0, DETAILED)
    .map(({ line, message }) => (line === undefined ? '' : `Item ${line}: `) + message)
  const more = total - first.length
  return [...first, ...(more > 0 ? [`And ${more.toLocaleString('en')} more: see \`errors\`.`] : [])].join(' ')
}

const DETAILED = 3

function inWords(allowed: unknown): string {
  if (allowed === null || allowed === undefined) return ''
  if (typeof allowed === 'number') return allowed.toLocaleString('en')
  if (!Array.isArray(allowed)) return String(allowed)
  const some = allowed.slice(0, LIST_MAX).map((one) => `\`${String(one)}\``)
  return some.join(', ') + (allowed.length > LIST_MAX ? ' …' : '')
}

const lastOf = (field: string) => field.slice(field.lastIndexOf('.') + 1)

/** A longer name is not a typing error. */
const NAME_CHARS_MAX = 40

/** The closest text in `allowed`; at most a third of its characters may differ. */
function nearest(name: string, allowed: readonly unknown[]): string | null {
  if (name.length > NAME_CHARS_MAX) return null
  const plain = (text: string) => text.toLowerCase().replace(/[_\-\s]/g, '')
  let best: string | null = null
  let least = Number.POSITIVE_INFINITY
  for (const one of allowed) {
    if (typeof one !== 'string') continue
    const distance = editDistance(plain(name), plain(one))
    if (distance < least && distance <= one.length / 3) [best, least] = [one, distance]
  }
  return best
}

/** The number of inserted, deleted or replaced characters (Levenshtein distance). */
function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (let at = 1; at <= one.length; at++) {
    const next = [at]
    for (let to = 1; to <= other.length; to++) {
      const replaced = (row[to - 1] ?? 0) + (one[at - 1] === other[to - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[to] ?? 0) + 1, (next[to - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[other.length] ?? 0
}
