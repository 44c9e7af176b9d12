// Reads the ledger of one generation: its submissions with the provider's answers.

import type { KeptReply } from '../../domain/kept-reply.ts'
import type { Database } from '../database.ts'

export interface LedgerRow {
  readonly id: string
  readonly attempt: number
  readonly state: 'started' | 'accepted' | 'rejected' | 'unknown'
  readonly upstreamTaskId: string | null
  readonly errorCode: string | null
  readonly errorMessage: string | null
  readonly startedAt: Date
  readonly settledAt: Date | null
  readonly reply: KeptReply | null
}

/** The last `limit` submissions of a generation, oldest first. */
export async function listSubmissions({ prisma }: Database, generationId: string, limit: number): Promise<LedgerRow[]> {
  const rows = await prisma.submission.findMany({ where: { generationId }, orderBy: { id: 'desc' }, take: limit })
  return rows.reverse().map((row) => ({ ...row, reply: row.reply as KeptReply | null }))
}
