// The evidence for the checks, read once at the end: the tables, the provider's record, the answers seen by clients, the webhooks seen by
// the receiver, and the ends of the processes.

import { readFile } from 'node:fs/promises'
import pg from 'pg'
import type { Accepted } from './clients.ts'
import type { ProviderRecord } from './provider.ts'
import type { Receipt } from './receiver.ts'
import type { Life } from './supervisor.ts'

export interface GenerationRow {
  readonly id: string
  readonly status: string
  readonly prompt: string
  readonly batchId: string | null
  readonly key: string | null
  readonly webhookUrl: string | null
  readonly policy: 'fail' | 'resubmit'
  readonly attempt: number
  readonly taskId: string | null
  readonly videoUrl: string | null
  readonly videoExpiresAt: Date | null
  readonly errorCode: string | null
  readonly eventSeq: number
  /** The row's pending work, in words: the first clue when the generation has not ended. */
  readonly waits: string
}

export interface SubmissionRow {
  readonly id: string
  readonly generationId: string
  readonly attempt: number
  readonly state: string
  readonly taskId: string | null
  readonly startedAt: Date
  readonly isAdopted: boolean
  /** The adopted task that was later taken away. */
  readonly reclaimedTaskId: string | null
  readonly errorCode: string | null
  readonly httpStatus: number | null
  readonly hasReply: boolean
}

export interface EventRow {
  readonly id: string
  readonly generationId: string | null
  readonly batchId: string | null
  readonly sequence: number
  readonly type: string
  readonly data: { readonly status?: string; readonly counts?: Readonly<Record<string, number>> }
  readonly createdAt: Date
}

export interface BatchRow {
  readonly id: string
  readonly key: string | null
  readonly total: number
  readonly webhookUrl: string | null
  readonly completedAt: Date | null
}

export interface DeliveryRow {
  readonly eventId: string
  readonly state: string
}

/** An answer with a task id that a worker had received. */
export interface Answer {
  readonly taskId: string
  readonly atMs: number
  readonly life: Life
}

export interface Evidence {
  readonly generations: readonly GenerationRow[]
  readonly submissions: readonly SubmissionRow[]
  readonly events: readonly EventRow[]
  readonly batches: readonly BatchRow[]
  readonly deliveries: readonly DeliveryRow[]
  /** Rows that have been due for too long. */
  readonly overdue: number
  readonly received: readonly ProviderRecord[]
  /** The outcomes of polls, with their counts. */
  readonly polls: Readonly<Record<string, number>>
  readonly accepted: readonly Accepted[]
  readonly wrongAnswers: readonly string[]
  readonly receipts: readonly Receipt[]
  readonly unverified: readonly string[]
  readonly answers: readonly Answer[]
  readonly lives: readonly Life[]
  /** The work unfinished at the end of patience, in words. */
  readonly unfinished: string
}

const OVERDUE_MS = 10_000

export async function readTables(databaseUrl: string) {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  const all = async <Row extends object>(sql: string) => (await client.query<Row>(sql)).rows
  try {
    return {
      generations: await all<GenerationRow>(
        `SELECT id, status::text, prompt, batch_id AS "batchId", idempotency_key AS key, webhook_url AS "webhookUrl",
          on_unknown_submission::text AS policy, attempt,
          upstream_task_id AS "taskId", video_url AS "videoUrl",
          video_url_expires_at AS "videoExpiresAt", error_code AS "errorCode", event_seq AS "eventSeq",
          format('due in %s s, woken %s times, %s polls failed, submission %s, answer %s', extract(epoch FROM due_at - now())::int,
            wakes, poll_failures, coalesce(current_submission_id, 'none'), coalesce(answer::text, 'none')) AS waits
        FROM generations g ORDER BY id`,
      ),
      submissions: await all<SubmissionRow>(
        `SELECT id, generation_id AS "generationId", state::text, upstream_task_id AS "taskId", started_at AS "startedAt",
          attempt, adopted_at IS NOT NULL AS "isAdopted",
          CASE WHEN error_code = 'adopted_task_reclaimed' THEN substring(error_message FROM 'It was (.*).$') END AS "reclaimedTaskId",
          error_code AS "errorCode", http_status AS "httpStatus",
          reply IS NOT NULL AS "hasReply"
        FROM submissions s ORDER BY id`,
      ),
      events: await all<EventRow>(
        `SELECT id, generation_id AS "generationId", batch_id AS "batchId", sequence, type, data, created_at AS "createdAt"
        FROM events ORDER BY coalesce(generation_id, batch_id), sequence`,
      ),
      batches: await all<BatchRow>(
        `SELECT id, idempotency_key AS key, total, webhook_url AS "webhookUrl", completed_at AS "completedAt" FROM batches`,
      ),
      // Only the noisy tenant has endpoints, and no server listens at them.
      deliveries: await all<DeliveryRow>(
        `SELECT event_id AS "eventId", state::text FROM deliveries WHERE endpoint_id IS NULL`,
      ),
      overdue: await countOverdue(client),
    }
  } finally {
    await client.end()
  }
}

async function countOverdue(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    `SELECT (SELECT count(*) FROM generations WHERE due_at < now() - $1 * interval '1 ms')::int
      + (SELECT count(*) FROM deliveries WHERE state = 'pending' AND due_at < now() - $1 * interval '1 ms')::int AS count`,
    [OVERDUE_MS],
  )
  return rows[0]?.count ?? 0
}

/** Reads the received tasks and their times from the logs of workers. */
export async function readAnswers(lives: readonly Life[]): Promise<Answer[]> {
  const answers: Answer[] = []
  for (const life of lives.filter((one) => one.role === 'worker')) {
    for (const line of (await readFile(life.logFile, 'utf8')).split('\n')) {
      // A killed process may have left a partial line.
      if (!line.includes('"event":"chaos.answered"') || !line.endsWith('}')) continue
      const { taskId, time } = JSON.parse(line) as { taskId: string; time: string }
      answers.push({ taskId, atMs: Date.parse(time), life })
    }
  }
  return answers
}

/** Groups rows by `key`; rows without a key are omitted. */
export function groupBy<T>(rows: readonly T[], key: (row: T) => string | null): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>()
  for (const row of rows) {
    const name = key(row)
    if (name === null) continue
    const group = groups.get(name)
    if (group) group.push(row)
    else groups.set(name, [row])
  }
  return groups
}
