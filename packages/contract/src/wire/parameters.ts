// What several routes take in their path, query or headers.

import { z } from 'zod'

export const byId = z.object({ id: z.string().describe('The id of the object, as replies and lists show it.') })

export const waitQuery = z.strictObject({
  wait: z.coerce
    .number()
    .min(0)
    .max(60)
    .default(0)
    .describe(
      'Seconds to wait for the end, 0 to 60; then the reply shows the present state. While very many requests wait, the reply may come earlier, or be `too_many_at_once`.',
    ),
})

export const idempotencyHeaders = z.object({
  'idempotency-key': z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe('The same key with the same request gives the same object; with another request, 409.'),
})
