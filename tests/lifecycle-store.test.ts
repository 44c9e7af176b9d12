// The store does what `decide` says, on a real Postgres and random generations: the statements that carry a plan out, and
// the statements of the ordinary cases, which decide in SQL and only restate the rules.

import { newId } from '@reelqueue/contract/terms/ids'
import { beginning } from '@reelqueue/shared/domain/lifecycle/begin'
import { decide } from '@reelqueue/shared/domain/lifecycle/decide'
import { carriedOut, type ModelRow } from '@reelqueue/shared/domain/lifecycle/model'
import type { Answered, Outcome } from '@reelqueue/shared/domain/lifecycle/outcome'
import { VIDEO } from '@reelqueue/shared/domain/lifecycle/provider'
import { ACTION_NAMES, OPTIONS, World } from '@reelqueue/shared/domain/lifecycle/world'
import { recordAccepted } from '@reelqueue/shared/store/lifecycle/acceptance'
import { carryOut } from '@reelqueue/shared/store/lifecycle/carry-out'
import { completeSeen } from '@reelqueue/shared/store/lifecycle/completion'
import { readSnapshots } from '@reelqueue/shared/store/lifecycle/snapshots'
import { beginSubmissions } from '@reelqueue/shared/store/lifecycle/submissions'
import fc from 'fast-check'
import { afterAll, expect, it } from 'vitest'
import { comparable, insertModelRow, outcomeOf, readModelRows, renamed } from './support/model-rows.ts'
import { LEASE_MS, seedDatabase } from './support/seed.ts'

const seed = await seedDatabase()
afterAll(() => seed.close())
const { prisma } = seed.database

/** A generation in the middle of its life, and what happens to it next. */
interface Case {
  readonly before: ModelRow
  readonly outcome: Outcome
}

const step = fc.record({ action: fc.constantFrom(...ACTION_NAMES), pick: fc.nat(11), fate: fc.nat(41) })
const page: fc.Arbitrary<Case[]> = fc
  .array(
    fc.record({
      steps: fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }),
      policy: fc.constantFrom('fail' as const, 'resubmit' as const),
    }),
    { minLength: 20, maxLength: 20, size: 'max' },
  )
  .map((lives) =>
    lives.flatMap(({ steps, policy }) => {
      const world = new World(policy)
      for (const one of steps) world.do(one)
      // The last decisions of a life: the first ones are alike.
      return world.decisions.slice(-3).map(({ before, outcome }) => {
        const id = newId('generation')
        return { before: renamed(before, id), outcome: outcomeOf(outcome, id) }
      })
    }),
  )
const pagesOf = (numRuns: number, look: (cases: Case[]) => Promise<void>) =>
  fc.assert(
    fc.asyncProperty(page, async (cases) => {
      if (cases.length > 0) await look(cases)
    }),
    { numRuns, endOnFailure: true },
  )

it('carries out the plans of a page like the model, each for its own generation', async () => {
  await pagesOf(8, async (cases) => {
    const ids = cases.map(({ before }) => before.id)
    // One transaction, so that now() is one moment.
    await prisma.$transaction(async (tx) => {
      for (const { before } of cases) await insertModelRow(tx, seed.projectId, before)
      const named = cases.flatMap(({ outcome }) => (outcome.kind === 'answered' ? [outcome.submissionId] : []))
      const snapshots = new Map((await readSnapshots(tx, ids, named)).map((one) => [one.id, one]))
      const planned = cases.map(({ before, outcome }) => {
        const snapshot = snapshots.get(before.id) ?? before
        const plan = decide(snapshot, outcome)
        // What the snapshot leaves out makes no difference.
        const { row, ...rest } = decide(before, outcome)
        expect({ ...plan, row: { ...plan.row, slotAtLeastMs: null } }).toEqual({
          ...rest,
          row: { ...row, slotAtLeastMs: null },
        })
        return { snapshot, plan }
      })
      const moved = await carryOut(tx, planned)
      expect(moved.map((one) => one.id).sort()).toEqual(
        planned
          .filter(({ plan }) => plan.move)
          .map(({ snapshot }) => snapshot.id)
          .sort(),
      )
      const rows = await readModelRows(tx, ids)
      for (const { before, outcome } of cases) {
        const row = rows.get(before.id)
        const expected = carriedOut(before, decide(before, outcome))
        expect(row && comparable(row), JSON.stringify({ before, outcome })).toEqual(comparable(expected))
      }
    })
  })
})

it('an acceptance that shares a statement is what decide says, or is left alone', async () => {
  await pagesOf(6, async (cases) => {
    for (const { before } of cases) await insertModelRow(prisma, seed.projectId, before)
    const asked = cases.flatMap(({ before }) => {
      const submission = before.submissions.find(({ state }) => state === 'started') ?? before.submissions.at(-1)
      return submission ? [{ before, submissionId: submission.id, taskId: `task_of_${before.id}` }] : []
    })
    const settled = await recordAccepted(
      seed.database,
      asked.map(({ submissionId, taskId }) => ({ submissionId, taskId, ...OPTIONS })),
    )
    const rows = await readModelRows(
      prisma,
      asked.map(({ before }) => before.id),
    )
    for (const [index, { before, submissionId, taskId }] of asked.entries()) {
      const outcome: Answered = {
        kind: 'answered',
        submissionId,
        result: { kind: 'accepted', taskId },
        options: OPTIONS,
        isDuplicate: false,
        isReleased: false,
        newId: 'unused',
      }
      const plan = decide(before, outcome)
      const isOpen = before.submissions.some(({ id, state }) => id === submissionId && state === 'started')
      // An acceptance that corrects an unknown outcome is decided by itself.
      const isOrdinary = isOpen && plan.move === 'accept' && plan.row.currentSubmissionId === undefined
      expect(settled[index]?.status ?? null, JSON.stringify(before)).toBe(isOrdinary ? 'processing' : null)
      expect(timeless(rows.get(before.id))).toEqual(timeless(isOrdinary ? carriedOut(before, plan) : before))
    }
  })
})

it('a completion straight from a poll is what decide says of the stored answer, or changes nothing', async () => {
  await pagesOf(6, async (cases) => {
    for (const { before } of cases) await insertModelRow(prisma, seed.projectId, before)
    const polled = cases.map(({ before }) => before).filter(({ taskId }) => taskId !== null)
    const answers = polled.map(({ id, taskId, dispatchCount }) => ({
      id,
      upstreamTaskId: taskId ?? '',
      dispatchCount,
      answer: VIDEO,
    }))
    const moved = new Set((await completeSeen(seed.database, answers)).map(({ id }) => id))
    const rows = await readModelRows(
      prisma,
      polled.map(({ id }) => id),
    )
    for (const before of polled) {
      const answered = { ...before, answer: VIDEO }
      const plan = decide(answered, { kind: 'ended' })
      const isOrdinary = plan.move === 'complete'
      expect(moved.has(before.id), JSON.stringify(before)).toBe(isOrdinary)
      expect(timeless(rows.get(before.id))).toEqual(timeless(isOrdinary ? carriedOut(answered, plan) : before))
    }
  })
})

it('an intent that shares a statement is one that `beginning` allows', async () => {
  await pagesOf(6, async (cases) => {
    for (const { before } of cases) await insertModelRow(prisma, seed.projectId, before)
    const requests = cases.map(({ before }) => ({ generationId: before.id, submissionId: newId('submission') }))
    const begun = await beginSubmissions(seed.database, requests, 'globalai', LEASE_MS)
    for (const [index, { before }] of cases.entries()) {
      const next = beginning(before, { isHeld: false, askedTaskIds: [] })
      // A later attempt may have a task to ask about, so the shared statement leaves it alone.
      const isOrdinary = next.kind === 'begin' && before.status === 'queued' && before.attempt === 1
      expect(begun[index]?.kind ?? null, JSON.stringify(before)).toBe(isOrdinary ? 'begun' : null)
    }
  })
})

/** Without moments: the statement runs later than the insertion. */
function timeless(row: ModelRow | undefined): unknown {
  if (!row) return undefined
  const slotUntilMs = row.slotUntilMs === null ? null : row.nowMs
  const submissions = row.submissions.map((one) => {
    return { ...one, startedAtMs: row.nowMs, adoptedAtMs: one.adoptedAtMs === null ? null : row.nowMs }
  })
  return comparable({ ...row, slotUntilMs, submissions })
}
