// Signing secrets that change over: those before the present one sign too, each until its own end.

import { z } from 'zod'
import { Prisma } from './generated/client.ts'

/** More than anyone changes within an overlap. */
const PREVIOUS_MAX = 3

const previousSecrets = z.array(z.object({ secret: z.string(), until: z.string() }))

/**
 * Assignments that put `sealed` in the place of the secret in `column`, which signs on for `overlapMs`, as do those before it for as
 * long as they were to: a rotation whose answer was lost can be repeated. Without an overlap none signs on: it has leaked.
 */
export function rotation(column: 'secret' | 'webhook_secret', sealed: string, overlapMs: number): Prisma.Sql {
  const present = Prisma.raw(column)
  if (overlapMs === 0) return Prisma.sql`${present} = ${sealed}, previous_secrets = '[]'`
  const until = new Date(Date.now() + overlapMs).toISOString()
  return Prisma.sql`${present} = ${sealed},
    previous_secrets = jsonb_build_array(jsonb_build_object('secret', ${present}, 'until', ${until}::text)) || (
      SELECT coalesce(jsonb_agg(kept.one), '[]') FROM (
        SELECT one FROM jsonb_array_elements(previous_secrets) AS one WHERE (one ->> 'until')::timestamptz > now() LIMIT ${PREVIOUS_MAX}) AS kept)`
}

/** Of the secrets before the present one, those that sign still: sealed, the latest first. */
export function signingStill(previous: unknown, now: Date): { readonly secret: string; readonly until: Date }[] {
  return readPreviousSecrets(previous)
    .map(({ secret, until }) => ({ secret, until: new Date(until) }))
    .filter((one) => one.until > now)
}

/** Those before the present one as their row keeps them: sealed, each with the instant until which it signs. */
export function readPreviousSecrets(previous: unknown): { readonly secret: string; readonly until: string }[] {
  return previousSecrets.parse(previous)
}
