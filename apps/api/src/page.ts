// Lists: `{data, next_cursor}`, newest first, with key-based paging: page 10,000 costs as much as page 1.

import { isId, type Noun } from '@reelqueue/contract/terms/ids'
import { Problem } from '@reelqueue/contract/terms/problem'

/** The cursor as the id where the list continues. @throws Problem `validation_failed` for an invalid cursor */
export function cursorOf(noun: Noun, cursor: string | undefined): string | undefined {
  if (cursor !== undefined && !isId(noun, cursor)) {
    throw new Problem('validation_failed', undefined, [
      { field: 'cursor', rule: 'cursor', allowed: 'next_cursor of a page of this list' },
    ])
  }
  return cursor
}

/** One page of `rows`. The caller reads `limit` + 1 rows to learn whether another page exists. */
export function pageOf<Row extends { readonly id: string }, Json>(
  rows: readonly Row[],
  limit: number,
  toJson: (row: Row) => Json,
) {
  const shown = rows.slice(0, limit)
  return { data: shown.map(toJson), next_cursor: rows.length > limit ? (shown.at(-1)?.id ?? null) : null }
}
