// What readiness says of each part.

import { z } from 'zod'

const check = z.object({ ok: z.boolean(), detail: z.string() })
export const readiness = z
  .object({
    status: z.enum(['ready', 'not_ready']),
    checks: z.object({
      postgres: check,
      queue: check,
      work: check.describe('Whether due rows are being claimed.'),
      upstream: check.describe(
        'Whether generations may be submitted, and if not, why. This check does not affect readiness.',
      ),
      polls: check.describe(
        'Whether the provider answers polls, and since when it refuses them. After five minutes of refusals the process is not ready.',
      ),
    }),
  })
  .meta({ id: 'Readiness' })
export type ReadinessCheck = z.output<typeof check>

/** The question: does everything work, or can requests be accepted, which needs only Postgres. */
export const readyQuery = z.strictObject({
  for: z
    .literal('accept')
    .optional()
    .describe(
      '`accept`: for load balancers. 200 as long as requests can be stored, even while the queues and the workers are down: stored work is not lost.',
    ),
})
