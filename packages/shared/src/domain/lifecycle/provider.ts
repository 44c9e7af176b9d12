// The provider of the property tests: it may answer anything, and knows the truth about each submission and each task.

import type { TerminalAnswer } from '../terminal-answer.ts'
import type { SubmissionResult } from './outcome.ts'

/** What happened to a submission. `silent`: a task exists, and no answer names the task. `lost`: no task exists. */
export type Truth = 'accepted' | 'busy' | 'refused' | 'released' | 'silent' | 'lost' | 'duplicate'
const TRUTHS: readonly Truth[] = ['accepted', 'busy', 'refused', 'released', 'silent', 'lost', 'duplicate']

export const VIDEO = { kind: 'completed', videoUrl: 'v', actualDuration: null, cost: null } satisfies TerminalAnswer
export const NO_VIDEO = { kind: 'failed', code: 'c', message: 'm', cost: null } satisfies TerminalAnswer
export const UNKNOWN: SubmissionResult = { kind: 'unknown', code: 'c', message: 'm', httpStatus: null }
const REFUSED = { kind: 'rejected', code: 'c', message: 'm', httpStatus: 400, retryable: false, backoffMs: 0 } as const
const FATES: readonly (TerminalAnswer | undefined)[] = [undefined, VIDEO, NO_VIDEO]

export class Provider {
  private readonly truths = new Map<string, Truth>()
  private readonly fates = new Map<string, TerminalAnswer>()

  submit(submissionId: string, fate: number): void {
    this.truths.set(submissionId, TRUTHS[fate % TRUTHS.length] ?? 'lost')
  }

  truthOf(submissionId: string): Truth | undefined {
    return this.truths.get(submissionId)
  }

  /** The answer to a submission; the same each time. */
  resultOf(submissionId: string): SubmissionResult {
    switch (this.truthOf(submissionId)) {
      case 'accepted':
      case 'duplicate':
        return { kind: 'accepted', taskId: `task_${submissionId}` }
      case 'busy':
        return { ...REFUSED, retryable: true, backoffMs: 1_000 }
      case 'refused':
      case 'released':
        return REFUSED
      default:
        return UNKNOWN
    }
  }

  /** The answer to a poll. A task renders until its first final answer, which never changes. */
  poll(taskId: string, fate: number): TerminalAnswer | undefined {
    const final = this.fates.get(taskId) ?? FATES[fate % FATES.length]
    if (final) this.fates.set(taskId, final)
    return final
  }

  hasVideo(taskId: string | null): boolean {
    return this.fates.get(taskId ?? '') === VIDEO
  }
}
