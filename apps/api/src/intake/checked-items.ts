// The items of an upload, checked as they are read.

import type { NormalRequest } from '@reelqueue/shared/contract/generation-request'
import { type FieldError, Problem } from '@reelqueue/shared/domain/problem'
import type { BatchUpload } from './batch-body.ts'
import type { ItemReader } from './batch-items.ts'
import { type BrokenLine, LINE_BYTES_MAX, type Line } from './json-lines.ts'

/** Blank ones included. */
const LINES_MAX = 1_000_000

/** Something is wrong with the upload: nothing more is worth inserting. */
export class WrongItem extends Error {}

/** The requests of an upload, as they are checked. @throws WrongItem at the first wrong one */
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
  // An upload of no items has no wrong one.
  reader.finish()
}

/** Checks items that were read together; what is wrong with them, the reader says when it finishes. @returns those that are right */
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
