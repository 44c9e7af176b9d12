// What happened to one generation, from all records of it.

import type { Database } from '../database.ts'

/** Records of each kind. */
const EACH_MAX = 200

export interface TimelineRecord {
  readonly at: Date
  readonly kind: 'event' | 'submission' | 'answer' | 'poll' | 'delivery' | 'attempt' | 'audit'
  readonly title: string
  readonly detail: Readonly<Record<string, unknown>>
}

/** The records of a generation, oldest first; the newest 200 of each kind. */
export async function readTimeline({ prisma }: Database, generationId: string): Promise<TimelineRecord[]> {
  const [generation, events, submissions, audit] = await Promise.all([
    prisma.generation.findUnique({ where: { id: generationId }, select: { lastPoll: true } }),
    prisma.event.findMany({
      where: { generationId },
      orderBy: { sequence: 'desc' },
      take: EACH_MAX,
      include: { deliveries: { take: 50, include: { log: { orderBy: { number: 'desc' }, take: 20 } } } },
    }),
    prisma.submission.findMany({ where: { generationId }, orderBy: { id: 'desc' }, take: EACH_MAX }),
    prisma.auditEntry.findMany({ where: { subject: generationId }, orderBy: { id: 'desc' }, take: EACH_MAX }),
  ])
  const lastPoll = generation?.lastPoll as { at: string; class: string; message: string } | null | undefined
  const records: TimelineRecord[] = [
    ...events.map((event) => ({
      at: event.createdAt,
      kind: 'event' as const,
      title: event.type,
      detail: { id: event.id, sequence: event.sequence, data: event.data },
    })),
    ...submissions.flatMap((row) => [
      {
        at: row.startedAt,
        kind: 'submission' as const,
        title: `submission of attempt ${row.attempt} to ${row.upstream}`,
        detail: { id: row.id, state: row.state, lease_until: row.leaseUntil.toISOString() },
      },
      ...(row.settledAt === null
        ? []
        : [
            {
              at: row.settledAt,
              kind: 'answer' as const,
              title: `${row.state}${row.errorCode === null ? '' : `: ${row.errorCode}`}`,
              detail: {
                id: row.id,
                upstream_task_id: row.upstreamTaskId,
                message: row.errorMessage,
                http_status: row.httpStatus,
                reply: row.reply,
              },
            },
          ]),
    ]),
    ...(lastPoll
      ? [{ at: new Date(lastPoll.at), kind: 'poll' as const, title: lastPoll.class, detail: { ...lastPoll } }]
      : []),
    ...events.flatMap((event) =>
      event.deliveries.flatMap((delivery) =>
        delivery.log.map((attempt) => ({
          at: attempt.createdAt,
          kind: 'attempt' as const,
          title: `webhook ${event.type}: ${attempt.httpStatus ?? attempt.errorClass ?? 'no answer'}`,
          detail: {
            delivery_id: delivery.id,
            url: delivery.url,
            number: attempt.number,
            http_status: attempt.httpStatus,
            error_class: attempt.errorClass,
            duration_ms: attempt.durationMs,
          },
        })),
      ),
    ),
    ...audit.map((entry) => ({
      at: entry.at,
      kind: 'audit' as const,
      title: `${entry.actor}: ${entry.action}`,
      detail: { id: entry.id, via: entry.via, reason: entry.reason, changes: entry.changes },
    })),
  ]
  return records.sort((one, other) => one.at.getTime() - other.at.getTime())
}
