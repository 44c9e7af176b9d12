// Attempts of a generation for tests of the store: begun, settled, failed at a deadline, retried.

import type { FailureCode } from '@reelqueue/contract/terms/failure'
import type { TerminalAnswer } from '@reelqueue/shared/domain/terminal-answer'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations } from '@reelqueue/shared/store/admission/admission'
import { type Adoption, adoptTask } from '@reelqueue/shared/store/lifecycle/adoption'
import { completeGeneration } from '@reelqueue/shared/store/lifecycle/completion'
import { failOverdue, recordPolls, type Seen } from '@reelqueue/shared/store/lifecycle/polling'
import { recordOutcome } from '@reelqueue/shared/store/lifecycle/record-outcome'
import { retryGeneration } from '@reelqueue/shared/store/lifecycle/retries'
import { beginSubmission } from '@reelqueue/shared/store/lifecycle/submissions'
import { beginRequestFor, LEASE_MS, pollOf, SETTLING, type Seed, type Submitting } from './seed.ts'

export const UNKNOWN = { kind: 'unknown', code: 'upstream_timeout', message: 'no answer', httpStatus: null } as const
export const REFUSED = {
  kind: 'rejected',
  code: 'upstream_1001',
  message: 'no',
  httpStatus: 200,
  retryable: false,
  backoffMs: 0,
} as const
export const VIDEO = {
  kind: 'completed',
  videoUrl: 'https://v/1',
  actualDuration: 4,
  cost: null,
} satisfies TerminalAnswer
export const NO_VIDEO = { kind: 'failed', code: 'upstream_failed', message: 'no', cost: null } satisfies TerminalAnswer

/** The provider was asked, and slots are free. */
const BY_OPERATOR = {
  isOperator: true,
  task: 'rendering',
  upstream: CONFIGURED,
  slots: 100_000,
  slotsPerModel: {},
} as const

export const lockOf = (id: string) => `SELECT 1 FROM generations WHERE id = '${id}' FOR UPDATE`

export function attemptsOn(seed: Seed) {
  const { database } = seed
  const recordResult = (submissionId: string, result: Parameters<typeof recordOutcome>[2]) =>
    recordOutcome(database, submissionId, result, SETTLING)
  const retry = (id: string) => retryGeneration(database, id)
  const admit = async () => {
    await admitGenerations(database, CONFIGURED, 100_000)
  }
  return {
    begin: (id: string, ...asked: string[]) =>
      beginSubmission(database, beginRequestFor(id), 'globalai', LEASE_MS, asked),
    recordResult,
    retry,
    adopt: (id: string, taskId: string, adoption: Partial<Adoption> = {}) =>
      adoptTask(database, id, { ...BY_OPERATOR, taskId, ...adoption }),
    admit,
    async unknown(fields?: Parameters<Seed['submitting']>[0]): Promise<Submitting> {
      const open = await seed.submitting(fields)
      await recordResult(open.submissionId, UNKNOWN)
      return open
    },
    /** A generation that failed at its deadline and is still polled. */
    async overdue(): Promise<string> {
      const id = await seed.processing()
      await failOverdue(database, [pollOf(id)], 'deadline_exceeded', SETTLING.renderMaxMs)
      return id
    },
    /** Queues the next attempt of the generation, with a slot. */
    async retryAdmitted(id: string): Promise<void> {
      await retry(id)
      await admit()
    },
    complete: (id: string) => completeGeneration(database, id),
    /** Fails a rendering generation at its deadline, or earlier with another code; polls continue. */
    async fail(id: string, code: FailureCode): Promise<void> {
      const { upstreamTaskId, dispatchCount } = await seed.row(id)
      await failOverdue(
        database,
        [{ id, upstreamTaskId: upstreamTaskId ?? '', dispatchCount }],
        code,
        SETTLING.renderMaxMs,
      )
    },
    /** Records an answer of a poll about the row's present task, or about the task of an earlier claim (`seen`). */
    async answered(
      id: string,
      answer: TerminalAnswer,
      seen: Partial<Pick<Seen, 'upstreamTaskId' | 'dispatchCount'>> = {},
    ): Promise<void> {
      const { upstreamTaskId, dispatchCount } = { ...(await seed.row(id)), ...seen }
      if (upstreamTaskId === null) throw new Error(`${id} has no task`)
      await recordPolls(database, [
        { id, upstreamTaskId, dispatchCount, nextMs: 0, sawPending: false, pollFailures: 0, answer },
      ])
    },
    typesOf: async (id: string) => (await seed.events(id)).map((event) => event.type.replace('generation.', '')),
  }
}
