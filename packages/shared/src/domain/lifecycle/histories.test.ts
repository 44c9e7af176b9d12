// The seven invariants of a generation's life, on random histories: answers that come late, twice or out of order, polls,
// deadlines, and requests of callers at any moment. The oracle reads the model's rows and the truth of the world; it uses
// no rule of `decide`.

import fc from 'fast-check'
import { it } from 'vitest'
import type { ModelRow } from './model.ts'
import { ASKED_ABOUT_MS, type LedgerRow } from './snapshot.ts'
import { ACTION_NAMES, type Begun, type Step, World } from './world.ts'

const RUNS = 1_000
const step: fc.Arbitrary<Step> = fc.record({
  action: fc.constantFrom(...ACTION_NAMES),
  pick: fc.nat(11),
  fate: fc.nat(41),
})
const histories = fc.array(step, { minLength: 20, maxLength: 80, size: 'max' })
const policies = fc.constantFrom('resubmit' as const, 'fail' as const)

const isOver = ({ status }: ModelRow) => status === 'completed' || status === 'cancelled'
const isOpen = ({ state }: LedgerRow) => state === 'started'
const mayGiveVideo = (row: LedgerRow, nowMs: number) =>
  row.state === 'accepted' && !row.hasRenderFailed && row.startedAtMs > nowMs - ASKED_ABOUT_MS
const currentOf = ({ submissions, currentSubmissionId }: ModelRow) =>
  submissions.find(({ id }) => id === currentSubmissionId)

/** How a failed generation may come back. */
const RETURNS = [
  'queued by retry',
  'processing by adopt',
  'processing by answered',
  'completed by ended',
  'completed by retry',
  'completed by adopt',
]

/** What an invariant finds wrong with the world after a step; nothing when the invariant holds. */
type Look = (world: World, begun: readonly Begun[], before: ModelRow) => unknown

const INVARIANTS: Readonly<Record<string, Look>> = {
  '1. a task that was paid for is never lost: its id is recorded, and it is polled or will be asked about'(world) {
    const { row, reported } = world
    const lost = [...reported].filter((taskId) => !row.submissions.some((one) => one.taskId === taskId))
    if (lost.length > 0) return lost
    const current = currentOf(row)
    const isLeft = row.status === 'failed' && !row.isDue && (current?.state === 'rejected' || current?.hasRenderFailed)
    return isLeft && row.submissions.find((one) => mayGiveVideo(one, row.nowMs))
  },

  '2. nothing is paid for twice: a submission follows certain refusals, or one unknown outcome with consent'(_, begun) {
    return begun.find(({ before: { submissions, attempt, policy } }) => {
      const paid = submissions.filter(
        (one) => one.attempt === attempt && one.state !== 'rejected' && !one.hasRenderFailed,
      )
      return paid.some(isOpen) || paid.length > (policy === 'resubmit' ? 1 : 0)
    })
  },

  '3. an ended generation stays ended: only a failed one comes back, by a caller or by its own late task'({ moves }) {
    return moves.find(({ from, to, by }) => {
      if (from === 'failed') return !RETURNS.includes(`${to} by ${by}`)
      return from === 'completed' || from === 'cancelled'
    })
  },

  '4. a generation completes at most once, and has the video of its own task'({ row, moves, provider }) {
    if (moves.filter(({ to }) => to === 'completed').length > 1) return 'twice'
    if ((row.videoUrl !== null) !== (row.status === 'completed')) return 'a video without an end'
    return row.status === 'completed' && !provider.hasVideo(row.taskId)
  },

  '5. a task of an earlier submission is taken or asked about before another payment'({ provider }, begun) {
    return begun.find(({ before, askedTaskIds }) => {
      const alive = before.submissions.filter((one) => mayGiveVideo(one, before.nowMs))
      const isForgotten = alive.some(({ taskId }) => !askedTaskIds.includes(taskId ?? ''))
      return isForgotten || askedTaskIds.some((taskId) => provider.hasVideo(taskId))
    })
  },

  '6. a cancelled generation is not submitted again, and ends with the outcome of its open submission'({ row }, begun) {
    const again = begun.find(({ before }) => before.cancelRequested || isOver(before))
    return again ?? (row.cancelRequested && !row.submissions.some(isOpen) && !isOver(row))
  },

  '7. each submission that may be charged is noted on the generation'({ row }) {
    const charged = row.submissions.find(({ state }) => state === 'accepted' || state === 'unknown')
    return row.mayBeCharged ? undefined : charged
  },

  'a rendering generation has a slot, and polls the task of its current submission'({ row }) {
    if (row.status !== 'processing') return false
    const current = currentOf(row)
    const isOwn = current?.state === 'accepted' && current.taskId === row.taskId
    return !(isOwn && row.isDue && row.sinceAdmittedMs !== null)
  },

  'a first outcome stands, except that an acceptance corrects an unknown one, and a task goes back to its owner'(
    { row },
    _,
    before,
  ) {
    return before.submissions.find((one) => {
      const now = row.submissions.find(({ id }) => id === one.id)
      if (now === undefined) return true
      if (one.state === 'started' || (now.state === one.state && now.taskId === one.taskId)) return false
      const isCorrected = one.state === 'unknown' && now.state === 'accepted'
      return !isCorrected && !one.taskId?.startsWith('foreign')
    })
  },
}

it('every invariant holds after each step of every history', () => {
  fc.assert(
    fc.property(histories, policies, (steps, policy) => {
      const world = new World(policy)
      // A submission has begun: the interesting part of each life.
      for (const action of ['admit', 'begin'] as const) world.do({ action, pick: 0, fate: steps[0]?.fate ?? 0 })
      for (const one of steps) {
        const [before, count] = [world.row, world.begun.length]
        world.do(one)
        // Plain comparisons, because a matcher for each of a million steps takes minutes.
        for (const [invariant, look] of Object.entries(INVARIANTS)) {
          const fault = look(world, world.begun.slice(count), before)
          if (fault) throw new Error(`${invariant}: ${JSON.stringify({ fault, moves: world.moves, row: world.row })}`)
        }
      }
    }),
    // A busy machine tries fewer histories.
    { numRuns: RUNS, interruptAfterTimeLimit: 15_000 },
  )
})
