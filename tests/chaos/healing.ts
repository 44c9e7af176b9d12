// After the storm: everything works again, and all that was left half done must come to its end. Leases, graces and retry
// schedules that a user would sit out are ended by SQL; each of them only lets happen sooner what would happen anyway.

import pg from 'pg'
import { lasting } from './redis-server.ts'

/** How long after its intent a living worker may still be busy with a submission: its patience before, and its timeout. */
const SUBMISSION_BUSY_MS = 12_000
/** How long the sender waits for a receiver that hangs. */
const WEBHOOK_BUSY_MS = 16_000
const ROUND_MS = 2_000
/** One more than the bad answers in a row that a request asks of the provider's polls (`requests.ts`). */
const LATE_ROUNDS = 4

export interface HealingOptions {
  readonly databaseUrl: string
  /** When for this long nothing more has ended, whatever is left counts as lost. */
  readonly patienceMs: number
  readonly say: (line: string) => void
}

/** Waits until every generation, batch and delivery has ended. @returns what has not, in words; empty when all is well */
export async function heal({ databaseUrl, patienceMs, say }: HealingOptions): Promise<string> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  const beganAt = performance.now()
  const sinceMs = () => performance.now() - beganAt
  let last = ''
  let least = Number.POSITIVE_INFINITY
  let leastAtMs = 0
  let lateRounds = 0
  try {
    while (sinceMs() - leastAtMs < patienceMs) {
      await travel(client, sinceMs() > WEBHOOK_BUSY_MS)
      const { words, count } = await openWork(client)
      if (count === 0 && lateRounds === LATE_ROUNDS) return ''
      if (count === 0) {
        // Those given up at their deadline are asked about for a day: whoever has a video by now must get it.
        await client.query(`UPDATE generations SET due_at = now() WHERE status = 'failed' AND due_at IS NOT NULL`)
        lateRounds++
      }
      // Only what is less than ever before is progress: what goes round in circles runs out of patience too.
      if (count === 0 || count < least) {
        least = count || Number.POSITIVE_INFINITY
        leastAtMs = sinceMs()
      }
      if (words !== last) say(`healing, ${Math.round(sinceMs() / 1_000)} s: ${words || 'late successes'}`)
      last = words
      await lasting(ROUND_MS)
    }
    return last || 'late successes'
  } finally {
    await client.end()
  }
}

async function travel(client: pg.Client, alsoDeliveries: boolean): Promise<void> {
  // A worker that lives settles within this time: the others are dead, and only their lease is waited for.
  await client.query(
    `UPDATE submissions SET lease_until = now() WHERE state = 'started' AND lease_until > now()
      AND started_at < now() - $1 * interval '1 ms'`,
    [SUBMISSION_BUSY_MS],
  )
  // The grace after a wake-up that may have been lost.
  await client.query(
    `UPDATE generations g SET due_at = now() WHERE due_at > now() AND (answer IS NOT NULL
      OR status IN ('queued', 'submitting') AND NOT EXISTS (SELECT 1 FROM submissions s WHERE s.id = g.current_submission_id
        AND (s.state = 'started' AND s.lease_until > now() OR s.retry_at > now())))`,
  )
  // The schedule's five minutes, and leases of dead senders: those of living ones are over by now.
  if (alsoDeliveries)
    await client.query(
      `UPDATE deliveries SET next_attempt_at = now(), due_at = now() WHERE state = 'pending' AND due_at > now()`,
    )
}

/** What is still to be done. */
async function openWork(client: pg.Client): Promise<{ words: string; count: number }> {
  const { rows } = await client.query<{ what: string; count: number }>(
    `SELECT status::text AS what, count(*)::int AS count FROM generations
       WHERE status IN ('queued', 'submitting', 'processing') GROUP BY status
     UNION ALL SELECT 'late answer', count(*)::int FROM generations
       WHERE status = 'failed' AND (answer IS NOT NULL OR due_at < now() + interval '30 s') HAVING count(*) > 0
     UNION ALL SELECT 'batches', count(*)::int FROM batches WHERE completed_at IS NULL HAVING count(*) > 0
     UNION ALL SELECT 'fan-outs', count(*)::int FROM pending_fan_outs HAVING count(*) > 0
     UNION ALL SELECT 'deliveries', count(*)::int FROM deliveries WHERE state = 'pending' HAVING count(*) > 0`,
  )
  return {
    words: rows.map(({ what, count }) => `${count} ${what}`).join(', '),
    count: rows.reduce((sum, { count }) => sum + count, 0),
  }
}
