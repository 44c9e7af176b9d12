// Checks the items of an upload while reading.

import { type FieldError, Problem } from '@reelqueue/contract/terms/problem'
import type { NormalRequest } from '@reelqueue/contract/wire/generation-request'
import type { BatchUpload } from './batch-body.ts'
import type { ItemReader } from './batch-items.ts'
import { type BrokenLine, LINE_BYTES_MAX, type Line } from './json-lines.ts'

/** Includes blank lines. */
const LINES_MAX = 1_000_000

/** The upload has an error: further inserts are pointless. */
export class WrongItem extends Error {}

/** Yields the requests of an upload as soon as checked. @throws WrongItem at the first invalid item */
export async function* checkedItems(
  upload: BatchUpload,
  pieces: AsyncGenerator<Line[]>,
  reader: ItemReader,
): AsyncGenerator<NormalRequest[]> {
  for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
    const normals = checkAll(upload, next.value, reader)
    if (reader.hasErrors) throw new WrongItem()
    yield normals
  }
  // An empty upload has no invalid item, but is refused here.
  reader.finish()
}

/** Checks items read together; the reader keeps the errors until `finish`. @returns the valid items */
export function checkAll({ form }: BatchUpload, items: readonly Line[], reader: ItemReader): NormalRequest[] {
  return items.flatMap((one) => {
    if (one.line > LINES_MAX)
      throw new Problem('batch_too_large', 'The body has more than a million lines, blank ones included.')
    const path = form === 'document' ? ['items', one.line - 1] : []
    return (
      ('value' in one
        ? reader.read(one.value, { line: one.line, path, faults: one.faults })
        : reader.refuse(refusalOf(one, path))) ?? []
    )
  })
}

const BROKEN_LINES = {
  json: { rule: 'json', allowed: 'one JSON object' },
  utf8: { rule: 'utf8', allowed: 'text in UTF-8' },
  max_bytes: { rule: 'max_bytes', allowed: LINE_BYTES_MAX },
} as const

function refusalOf({ line, broken }: BrokenLine, path: readonly PropertyKey[]): FieldError {
  return { field: path.join('.') || 'body', ...BROKEN_LINES[broken], line }
}
