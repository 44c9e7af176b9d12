// Faults that only the text of a JSON document shows, and not the parsed value.

import { findDuplicateKeys } from './duplicate-keys.ts'
import { findInexactNumbers } from './json-numbers.ts'

export interface TextFault {
  readonly kind: 'unsafe_number' | 'duplicate_key'
  readonly path: readonly PropertyKey[]
}

/** `text` must be valid JSON, and `value` the parsed text. */
export function findTextFaults(text: string, value: unknown): readonly TextFault[] {
  const inexact = findInexactNumbers(text)
  const twice = findDuplicateKeys(text, value)
  if (inexact.length + twice.length === 0) return NONE
  return [
    ...inexact.map(({ path }) => ({ kind: 'unsafe_number' as const, path })),
    ...twice.map((path) => ({ kind: 'duplicate_key' as const, path })),
  ]
}

const NONE: readonly TextFault[] = []
