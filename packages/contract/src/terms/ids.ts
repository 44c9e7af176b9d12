// Ids are TypeIDs: a prefix for the kind of thing, and a UUIDv7 in base 32, so ids sort by age.

import { TypeID, typeidUnboxed } from 'typeid-js'

const PREFIXES = {
  project: 'prj',
  apiKey: 'key',
  generation: 'gen',
  batch: 'batch',
  submission: 'sub',
  event: 'evt',
  endpoint: 'ep',
  delivery: 'dlv',
  attempt: 'att',
  operator: 'op',
  session: 'ses',
  audit: 'aud',
  operation: 'opn',
  process: 'prc',
} as const
export type Noun = keyof typeof PREFIXES

/** A new id such as `gen_01jd…`; ids made by one process ascend. */
export function newId(noun: Noun): string {
  return typeidUnboxed(PREFIXES[noun])
}

/** Whether `text` is a well-formed id with the prefix of the noun. */
export function isId(noun: Noun, text: string): boolean {
  try {
    TypeID.fromString(text, PREFIXES[noun])
    return true
  } catch {
    return false
  }
}

/** An id that is smaller than all ids made from the moment `atMs` on (ms since 1970). */
export function idBefore(noun: Noun, atMs: number): string {
  const time = Math.floor(atMs).toString(16).padStart(12, '0')
  const uuid = `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000000`
  return TypeID.fromUUID(PREFIXES[noun], uuid).toString()
}
