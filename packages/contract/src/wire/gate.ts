// The state of the submission gate, as operators see the gate.

import { z } from 'zod'

const instant = z.iso.datetime().nullable()

export const gateJson = z
  .object({
    object: z.literal('submitting'),
    open: z.boolean().describe('Whether generations are submitted now.'),
    paused_at: instant.describe('Paused by an operator or by a start, until an operator resumes.'),
    paused_reason: z.string().nullable().describe('The reason of a pause by a start; null for a pause by an operator.'),
    account_refusal: z.string().nullable().describe('The provider refused the account, in these words.'),
    account_retry_at: instant.describe('The time of the next tried submission after that.'),
    refusal: z
      .string()
      .nullable()
      .describe('What closed the gate: the account, a wrong address, or the same refusal five times in a row.'),
    refusal_class: z
      .string()
      .nullable()
      .describe(
        '`account`; `configuration` (check UPSTREAM_BASE_URL); `request` (five requests in a row, the same words).',
      ),
    refusal_retry_at: instant.describe(
      'The time of the next tried submission after that; an acceptance opens the gate.',
    ),
    unreachable_since: instant.describe(
      'Five submissions in a row were not answered; submitting resumes when the provider answers.',
    ),
    hold_until: instant.describe('The provider asked to wait (429).'),
  })
  .meta({ id: 'Submitting' })

export interface GateRow {
  readonly isOpen: boolean
  readonly pausedAt: Date | null
  readonly pausedReason: string | null
  readonly refusal: string | null
  readonly refusalClass: string | null
  readonly refusalRetryAt: Date | null
  readonly unreachableSince: Date | null
  readonly holdUntil: Date | null
}

const iso = (at: Date | null) => at?.toISOString() ?? null

export function toGateJson(gate: GateRow): z.output<typeof gateJson> {
  return {
    object: 'submitting',
    open: gate.isOpen,
    paused_at: iso(gate.pausedAt),
    paused_reason: gate.pausedReason,
    account_refusal: gate.refusalClass === 'account' ? gate.refusal : null,
    account_retry_at: gate.refusalClass === 'account' ? iso(gate.refusalRetryAt) : null,
    refusal: gate.refusal,
    refusal_class: gate.refusalClass,
    refusal_retry_at: iso(gate.refusalRetryAt),
    unreachable_since: iso(gate.unreachableSince),
    hold_until: iso(gate.holdUntil),
  }
}
