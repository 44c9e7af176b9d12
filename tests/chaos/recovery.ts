// After the storm: every server works again, and all unfinished work must come to its end. SQL shortens leases, redelivery back-offs and
// retry schedules; each statement only advances what would happen later anyway.

import pg from 'pg'
import { lasting } from './redis-server.ts'

/** How long after its intent a living worker may still be busy with a submission: its wait before the POST, and its timeout. */
const SUBMISSION_BUSY_MS = 12_000
/** How long the sender waits for a hanging receiver. */
const WEBHOOK_BUSY_MS = 16_000
const ROUND_MS = 2_000
/** Exceeds by one the consecutive bad poll answers requested by a prompt (`requests.ts`). */
const LATE_ROUNDS = 4

export interface RecoveryOptions {
  readonly databaseUrl: string
  /** After this long without progress, the remaining work counts as lost. */
  readonly patienceMs: number
  readonly say: (line: string) => void
}

/** Waits until every generation, batch and delivery has ended. @returns the unfinished work, in words; empty when everything has ended */
export async function waitForRecovery({ databaseUrl, patienceMs, say }: RecoveryOptions): Promise<string> {
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
        // Generations that failed at their deadline are polled for a day: a video that is ready by now must be recorded.
        await client.query(`UPDATE generations SET due_at = now() WHERE status = 'failed' AND due_at IS NOT NULL`)
        lateRounds++
      }
      // Progress is only a new minimum: work that goes round in circles runs out of patience too.
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
  // A living worker settles within this time: the other workers are dead, and only their lease remains.
  await client.query(
    `UPDATE submissions SET lease_until = now() WHERE state = 'started' AND lease_until > now()
      AND started_at < now() - $1 * interval '1 ms'`,
    [SUBMISSION_BUSY_MS],
  )
  // The redelivery back-off after an enqueue that may have been lost.
  await client.query(
    `UPDATE generations g SET due_at = now() WHERE due_at > now() AND (answer IS NOT NULL
      OR status IN ('queued', 'submitting') AND NOT EXISTS (SELECT 1 FROM submissions s WHERE s.id = g.current_submission_id
        AND (s.state = 'started' AND s.lease_until > now() OR s.retry_at > now())))`,
  )
  // The five minutes of the schedule, and leases of dead senders: leases of living senders have ended by now.
  if (alsoDeliveries)
    await client.query(
      `UPDATE deliveries SET next_attempt_at = now(), due_at = now() WHERE state = 'pending' AND due_at > now()`,
    )
}

/** The unfinished work. */
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
