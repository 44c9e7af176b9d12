// Rotation of signing secrets: previous secrets sign too, each until its own end.

import { z } from 'zod'
import { Prisma } from './generated/client.ts'

/** More rotations than anyone makes within an overlap. */
const PREVIOUS_MAX = 3

const previousSecrets = z.array(z.object({ secret: z.string(), until: z.string() }))

/**
 * SQL assignments that replace the secret in `column` by `sealed`. The replaced secret signs for another `overlapMs`,
 * and earlier secrets sign until their own ends, so a rotation whose answer was lost can be repeated. Without an
 * overlap no previous secret signs: the secret has leaked.
 */
export function rotation(column: 'secret' | 'webhook_secret', sealed: string, overlapMs: number): Prisma.Sql {
  const present = Prisma.raw(column)
  if (overlapMs === 0) return Prisma.sql`${present} = ${sealed}, previous_secrets = '[]'`
  const until = new Date(Date.now() + overlapMs).toISOString()
  return Prisma.sql`
    ${present} = ${sealed},
    previous_secrets = jsonb_build_array(
        jsonb_build_object('secret', ${present}, 'until', ${until}::text)
      )
      || (
        SELECT coalesce(jsonb_agg(kept.one), '[]')
        FROM (
          SELECT one
          FROM jsonb_array_elements(previous_secrets) AS one
          WHERE (one ->> 'until')::timestamptz > now()
          LIMIT ${PREVIOUS_MAX}
        ) AS kept
      )`
}

/** The previous secrets that still sign: sealed, the latest first. */
export function signingStill(previous: unknown, now: Date): { readonly secret: string; readonly until: Date }[] {
  return readPreviousSecrets(previous)
    .map(({ secret, until }) => ({ secret, until: new Date(until) }))
    .filter((one) => one.until > now)
}

/** The previous secrets as stored: sealed, each with the end of its signing. */
export function readPreviousSecrets(previous: unknown): { readonly secret: string; readonly until: string }[] {
  return previousSecrets.parse(previous)
}
