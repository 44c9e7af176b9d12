// One generation in a world in which answers come late, twice or never, for the property tests. The world knows the truth;
// `decide` sees only snapshots and outcomes.

import { afterMove } from '@reelqueue/contract/terms/status'
import { beginning } from './begin.ts'
import { decide } from './decide.ts'
import { carriedOut, type ModelRow } from './model.ts'
import type { Outcome, SubmissionResult } from './outcome.ts'
import { Provider, UNKNOWN } from './provider.ts'
import { ASKED_ABOUT_MS } from './snapshot.ts'

/** `pick` and `fate` choose among what is possible. */
export interface Step {
  readonly action: Action
  readonly pick: number
  readonly fate: number
}
export type Action = keyof typeof ACTIONS

const ACTIONS = {
  admit: (world: World) => world.admit(),
  begin: (world: World, { fate }: Step) => world.begin(fate),
  answer: (world: World, { pick }: Step) => world.answer(pick),
  expire: (world: World) => world.expire(),
  poll: (world: World, { fate }: Step) => world.poll(fate),
  complete: (world: World) => world.decided({ kind: 'ended' }),
  deadline: (world: World) => world.deadline(),
  cancel: (world: World) => world.decided({ kind: 'cancel', renderMaxMs: OPTIONS.renderMaxMs }),
  retry: (world: World) => world.decided({ kind: 'retry' }),
  adopt: (world: World, { pick }: Step) => world.adopt(pick),
  reclaim: (world: World) => world.reclaim(),
  day: (world: World) => world.day(),
}
/** Weights: most histories should go on for long, and answers should come out of order. */
export const ACTION_NAMES = (Object.keys(ACTIONS) as Action[]).flatMap((action) => {
  const weight = { admit: 3, begin: 6, answer: 6, expire: 3, poll: 3, complete: 3, retry: 3 } as Partial<
    Record<Action, number>
  >
  return Array<Action>(weight[action] ?? 1).fill(action)
})

export const OPTIONS = { firstPollMs: 1_000, renderMaxMs: 60_000 }

const QUEUED: ModelRow = {
  id: 'gen_1',
  status: 'queued',
  attempt: 1,
  policy: 'fail',
  errorCode: null,
  mayBeCharged: false,
  cancelRequested: false,
  sinceAdmittedMs: null,
  isDue: false,
  taskId: null,
  answer: null,
  currentSubmissionId: null,
  waitMs: null,
  submissions: [],
  nowMs: 1_000_000_000,
  slotUntilMs: null,
  dispatchCount: 0,
  videoUrl: null,
}

/** A submission that began, and what the submit step knew before its payment. */
export interface Begun {
  readonly before: ModelRow
  readonly askedTaskIds: readonly string[]
}

export class World {
  row: ModelRow
  readonly provider = new Provider()
  /** Tasks that an answer has named as the task of a submission of this generation. */
  readonly reported = new Set<string>()
  /** All changes of the status, each with its cause. */
  readonly moves: { from: string; to: string; by: string }[] = []
  readonly begun: Begun[] = []
  /** Every call of `decide`. */
  readonly decisions: { readonly before: ModelRow; readonly outcome: Outcome }[] = []
  private ids = 0

  constructor(policy: ModelRow['policy']) {
    this.row = { ...QUEUED, policy }
  }

  do(step: Step): void {
    this.row = { ...this.row, nowMs: this.row.nowMs + 1_000 }
    ACTIONS[step.action](this, step)
  }

  decided(outcome: Outcome): void {
    this.decisions.push({ before: this.row, outcome })
    this.change(carriedOut(this.row, decide(this.row, outcome)), outcome.kind)
  }

  private change(after: ModelRow, by: string): void {
    if (after.status !== this.row.status) this.moves.push({ from: this.row.status, to: after.status, by })
    this.row = after
  }

  admit(): void {
    const { row } = this
    if (row.status === 'queued') this.row = { ...row, sinceAdmittedMs: row.sinceAdmittedMs ?? 0, isDue: true }
  }

  /** As the submit step: asks about the tasks of previous attempts, and pays when none of them has a video. */
  begin(fate: number): void {
    const askedTaskIds: string[] = []
    let next = beginning(this.row, { isHeld: false, askedTaskIds })
    while (next.kind === 'ask_first') {
      const answer = this.provider.poll(next.taskId, fate)
      if (answer?.kind === 'completed') {
        this.decided({ kind: 'found', taskId: next.taskId, answer })
        this.decided({ kind: 'ended' })
        return
      }
      askedTaskIds.push(next.taskId)
      next = beginning(this.row, { isHeld: false, askedTaskIds })
    }
    // The lease of an open submission is over for some of the workers that look.
    if (next.kind === 'expired' && fate % 2 === 0) this.answered(next.submissionId, UNKNOWN)
    if (next.kind === 'begin') this.pay(fate, askedTaskIds)
  }

  private pay(fate: number, askedTaskIds: readonly string[]): void {
    const { row } = this
    this.begun.push({ before: row, askedTaskIds })
    const id = this.newId()
    this.provider.submit(id, fate)
    const { attempt, nowMs: startedAtMs } = row
    const open = {
      state: 'started',
      taskId: null,
      settledAtMs: null,
      adoptedAtMs: null,
      hasRenderFailed: false,
    } as const
    const status = row.status === 'queued' ? afterMove(row.status, 'submit') : row.status
    if (status === null) throw new Error('submit is illegal')
    const submissions = [...row.submissions, { id, attempt, startedAtMs, ...open }]
    this.change({ ...row, status, submissions, currentSubmissionId: id, taskId: null, isDue: true }, 'submit')
  }

  /** An answer to one of the last submissions arrives, for the first time or again. */
  answer(pick: number): void {
    const asked = this.row.submissions.filter(({ id }) => this.provider.truthOf(id))
    const submission = asked.at(-1 - (pick % 3))
    if (submission) this.answered(submission.id, this.provider.resultOf(submission.id))
  }

  expire(): void {
    const open = this.row.submissions.find(({ state }) => state === 'started')
    if (open) this.answered(open.id, UNKNOWN)
  }

  private answered(submissionId: string, result: SubmissionResult): void {
    const truth = this.provider.truthOf(submissionId)
    const isOfOther = (taskId: string) =>
      this.row.submissions.some((row) => row.id !== submissionId && row.taskId === taskId)
    const isDuplicate = result.kind === 'accepted' && (truth === 'duplicate' || isOfOther(result.taskId))
    if (result.kind === 'accepted' && !isDuplicate) this.reported.add(result.taskId)
    const given = { submissionId, result, options: OPTIONS, isDuplicate, isReleased: truth === 'released' }
    this.decided({ kind: 'answered', ...given, newId: this.newId() })
  }

  poll(fate: number): void {
    const { row } = this
    const isPolled = (row.status === 'processing' || row.status === 'failed') && row.isDue && row.answer === null
    const answer = isPolled && row.taskId !== null ? this.provider.poll(row.taskId, fate) : undefined
    if (answer) this.row = { ...row, answer, dispatchCount: row.dispatchCount + 1 }
  }

  /** As the pollers: the generation fails, and polls go on. */
  deadline(): void {
    const { row } = this
    if (row.status !== 'processing' || row.answer !== null) return
    this.change({ ...row, status: 'failed', errorCode: 'deadline_exceeded' }, 'deadline')
  }

  /** A person gives a task: the true task of a silent submission, or a task of another generation. */
  adopt(pick: number): void {
    if (this.row.status !== 'failed') return
    const silent = this.row.submissions.filter(({ id }) => this.provider.truthOf(id) === 'silent')
    const taskIds = [...silent.map(({ id }) => `task_${id}`), `foreign_${pick}`]
    this.decided({ kind: 'adopt', taskId: taskIds[pick % taskIds.length] ?? '', newId: this.newId() })
  }

  /** A submission of another generation is answered with a task that this generation has adopted. */
  reclaim(): void {
    const adopted = this.row.submissions.find((row) => row.adoptedAtMs !== null && row.taskId?.startsWith('foreign'))
    if (!adopted?.taskId) return
    const { id: submissionId, taskId } = adopted
    this.decided({ kind: 'reclaimed', submissionId, taskId, renderMaxMs: OPTIONS.renderMaxMs })
  }

  /** The pollers give up a failed generation after a day. */
  day(): void {
    const { row } = this
    const isGivenUp = row.status === 'failed' && row.answer === null
    this.row = { ...row, nowMs: row.nowMs + ASKED_ABOUT_MS, isDue: row.isDue && !isGivenUp }
  }

  private newId(): string {
    this.ids += 1
    return `sub_${String(this.ids).padStart(6, '0')}`
  }
}
