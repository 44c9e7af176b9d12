// Whether anything is submitted now, as operators see it.

import { z } from 'zod'

const instant = z.iso.datetime().nullable()

export const gateJson = z
  .object({
    object: z.literal('submitting'),
    open: z.boolean().describe('Whether generations are submitted now.'),
    paused_at: instant.describe('Paused by an operator, until one resumes it.'),
    account_refusal: z.string().nullable().describe('The provider refused the account, in these words.'),
    account_retry_at: instant.describe('When it is tried again after that.'),
    unreachable_since: instant.describe(
      'Submission after submission was not answered; goes on when the provider answers.',
    ),
    hold_until: instant.describe('The provider asked to wait (429).'),
  })
  .meta({ id: 'Submitting' })

export interface GateFacts {
  readonly isOpen: boolean
  readonly pausedAt: Date | null
  readonly accountRefusal: string | null
  readonly accountRetryAt: Date | null
  readonly unreachableSince: Date | null
  readonly holdUntil: Date | null
}

const iso = (at: Date | null) => at?.toISOString() ?? null

export function toGateJson(gate: GateFacts): z.output<typeof gateJson> {
  return {
    object: 'submitting',
    open: gate.isOpen,
    paused_at: iso(gate.pausedAt),
    account_refusal: gate.accountRefusal,
    account_retry_at: iso(gate.accountRetryAt),
    unreachable_since: iso(gate.unreachableSince),
    hold_until: iso(gate.holdUntil),
  }
}
