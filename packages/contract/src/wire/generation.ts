// A generation in replies and in webhooks.

import { z } from 'zod'
import { STATUSES, type Status } from '../terms/status.ts'
import { lastPollJson, submissionJson, unstorableJson } from './evidence.ts'

const instant = z.iso.datetime()

export const generationJson = z
  .object({
    id: z.string(),
    object: z.literal('video.generation'),
    status: z.enum(STATUSES),
    model: z.string(),
    prompt: z.string(),
    size: z.string().nullable(),
    seconds: z.int().nullable(),
    input_reference: z.array(z.string()).nullable(),
    batch_id: z.string().nullable(),
    custom_id: z.string().nullable(),
    metadata: z.record(z.string(), z.unknown()).nullable(),
    webhook_url: z.string().nullable(),
    priority: z.int(),
    on_unknown_submission: z.enum(['fail', 'resubmit']),
    video_url: z.string().nullable(),
    video_url_expires_at: instant
      .nullable()
      .describe('The provider deletes the file a day after the render. This time is never later than the true time.'),
    actual_duration: z
      .number()
      .nullable()
      .describe('Seconds as the provider reports them; in observed answers, the length of the delivered clip.'),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    upstream_task_id: z.string().nullable(),
    attempt: z.int().describe('1, and one more for each retry; each attempt may be paid for.'),
    may_be_charged: z
      .boolean()
      .describe(
        'False: certainly nothing was paid for the generation. True: a submission was accepted, may have been accepted, or is under way.',
      ),
    cancel_requested_at: instant
      .nullable()
      .describe(
        'A submission was under way at the cancel, or the batch of the generation is being cancelled: the generation will become `cancelled`.',
      ),
    queue: z
      .object({
        position: z.int().describe('1 is the next generation of the project; positions beyond 10,000 are not counted.'),
        held: z
          .boolean()
          .describe(
            'True while the project is paused (`GET /v1/project`) or submitting is held (`GET /readyz` says why).',
          ),
        held_by: z
          .array(z.enum(['project_paused', 'submitting_held', 'kept_slots']))
          .describe(
            'What holds the generation, in addition to the generations before it. `kept_slots`: all slots are taken, some of them by renders that no caller waits for any more (`GET /readyz` says until when); `held` stays false, because the other slots become free.',
          ),
        estimated_start_at: instant
          .nullable()
          .describe(
            'Based on the admission rate of the last 15 minutes; null without a rate, or while submitting is paused.',
          ),
      })
      .optional()
      .describe('Only in a reply with one generation that waits for a slot: its position in the queue.'),
    estimated_completion_at: instant
      .nullable()
      .optional()
      .describe(
        'Only in a reply with one generation that has not ended. Half of the recent clips of the same model, length and size that rendered this long had ended by this time; null without enough clips.',
      ),
    slower_than_usual: z
      .boolean()
      .optional()
      .describe(
        'Only in a reply with one generation that renders. True: 99 of 100 recent clips of the same kind took less time.',
      ),
    last_poll: lastPollJson
      .optional()
      .describe(
        'Only in a reply with one generation: the last answer to a poll while it renders, or before it failed.',
      ),
    unstorable: unstorableJson
      .optional()
      .describe(
        'Only in a reply with one generation whose next change Postgres refuses to write. The generation stays as it is, and the change is tried again. The log of the worker has the error. Answers of the provider in the meantime are polled again.',
      ),
    submissions: z
      .array(submissionJson)
      .optional()
      .describe('Only in a reply with one generation: its last 20 submissions with their answers, oldest first.'),
    created_at: instant,
    submitted_at: instant.nullable(),
    finished_at: instant.nullable(),
  })
  .meta({ id: 'Generation' })
export type GenerationJson = z.output<typeof generationJson>

/** The fields of the row that make a reply; times as Date. */
export interface GenerationRow {
  readonly id: string
  readonly status: Status
  readonly model: string
  readonly prompt: string
  readonly size: string | null
  readonly seconds: number | null
  readonly inputReference: unknown
  readonly batchId: string | null
  readonly customId: string | null
  readonly metadata: unknown
  readonly webhookUrl: string | null
  readonly priority: number
  readonly onUnknownSubmission: 'fail' | 'resubmit'
  readonly videoUrl: string | null
  readonly videoUrlExpiresAt: Date | null
  readonly actualDuration: number | null
  readonly errorCode: string | null
  readonly errorMessage: string | null
  readonly upstreamTaskId: string | null
  readonly attempt: number
  readonly mayBeCharged: boolean
  readonly cancelRequestedAt: Date | null
  readonly createdAt: Date
  readonly submittedAt: Date | null
  readonly finishedAt: Date | null
}

const iso = (instant: Date | null) => instant?.toISOString() ?? null

/** The reply for a row. */
export function toGenerationJson(row: GenerationRow): GenerationJson {
  return {
    id: row.id,
    object: 'video.generation',
    status: row.status,
    model: row.model,
    prompt: row.prompt,
    size: row.size,
    seconds: row.seconds,
    input_reference: row.inputReference as string[] | null,
    batch_id: row.batchId,
    custom_id: row.customId,
    metadata: row.metadata as Record<string, unknown> | null,
    webhook_url: row.webhookUrl,
    priority: row.priority,
    on_unknown_submission: row.onUnknownSubmission,
    video_url: row.videoUrl,
    video_url_expires_at: iso(row.videoUrlExpiresAt),
    actual_duration: row.actualDuration,
    error: row.errorCode === null ? null : { code: row.errorCode, message: row.errorMessage ?? '' },
    upstream_task_id: row.upstreamTaskId,
    attempt: row.attempt,
    may_be_charged: row.mayBeCharged || row.status === 'submitting',
    cancel_requested_at: iso(row.cancelRequestedAt),
    created_at: row.createdAt.toISOString(),
    submitted_at: iso(row.submittedAt),
    finished_at: iso(row.finishedAt),
  }
}

/** The record of a generation in an event. A field that is left out was null at the time. */
export const generationSnapshot = generationJson
  .pick({
    status: true,
    video_url: true,
    video_url_expires_at: true,
    actual_duration: true,
    error: true,
    upstream_task_id: true,
    attempt: true,
    may_be_charged: true,
    submitted_at: true,
    finished_at: true,
    priority: true,
    cancel_requested_at: true,
  })
  .partial()

/** The fields of a generation's events, before the first event. */
const NOTHING_YET = {
  status: 'queued',
  videoUrl: null,
  videoUrlExpiresAt: null,
  actualDuration: null,
  errorCode: null,
  errorMessage: null,
  upstreamTaskId: null,
  attempt: 1,
  mayBeCharged: false,
  submittedAt: null,
  finishedAt: null,
} as const

/** The fields of the row that no event contains. */
export type RowBesideEvent = Omit<GenerationRow, keyof typeof NOTHING_YET>

/** The generation at the time of the event: the same at every attempt, independent of later changes of the row. */
export function generationAtEvent(row: RowBesideEvent, eventData: unknown): GenerationJson {
  const then = definedOnly(generationSnapshot.parse(eventData))
  // Events of an older release do not contain the two further fields that change: priority and cancel request.
  const cancelRequestedAt = then.priority === undefined ? row.cancelRequestedAt : null
  return { ...toGenerationJson({ ...row, ...NOTHING_YET, cancelRequestedAt }), ...then }
}

function definedOnly<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}
