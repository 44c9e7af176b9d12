// Lists: `{data, next_cursor}`, newest first.

import { z } from 'zod'

export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(20).describe('The number of objects in a page.'),
  cursor: z.string().optional().describe('`next_cursor` of the previous page.'),
})

/** A page of a list. */
export function listOf<T extends z.ZodType>(item: T) {
  return z.object({ data: z.array(item), next_cursor: z.string().nullable().describe('Null on the last page.') })
}
