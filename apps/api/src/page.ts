// Lists: `{data, next_cursor}`, newest first, paged by key so that page 10,000 costs what page 1 does.

import { isId, type Noun } from '@reelqueue/shared/domain/ids'
import { Problem } from '@reelqueue/shared/domain/problem'
import { z } from 'zod'

export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(20),
  cursor: z.string().optional().describe('`next_cursor` of the page before.'),
})

export function listOf<T extends z.ZodType>(item: T) {
  return z.object({ data: z.array(item), next_cursor: z.string().nullable().describe('Null on the last page.') })
}

/** The cursor as an id to list on from. @throws Problem `validation_failed` when it is none of ours */
export function cursorOf(noun: Noun, cursor: string | undefined): string | undefined {
  if (cursor !== undefined && !isId(noun, cursor)) {
    throw new Problem('validation_failed', undefined, [
      { field: 'cursor', rule: 'cursor', allowed: 'next_cursor of a page of this list' },
    ])
  }
  return cursor
}

/** One page of `rows`, of which one more than `limit` was read to learn whether there is another page. */
export function pageOf<Row extends { readonly id: string }, Json>(
  rows: readonly Row[],
  limit: number,
  toJson: (row: Row) => Json,
) {
  const shown = rows.slice(0, limit)
  return { data: shown.map(toJson), next_cursor: rows.length > limit ? (shown.at(-1)?.id ?? null) : null }
}
