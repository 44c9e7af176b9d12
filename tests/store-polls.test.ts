// The queries and writes of the pollers, on a real Postgres.

import type { TerminalAnswer } from '@reelqueue/shared/domain/terminal-answer'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations } from '@reelqueue/shared/store/admission/admission'
import { cancelGeneration } from '@reelqueue/shared/store/lifecycle/cancellation'
import { completeGeneration } from '@reelqueue/shared/store/lifecycle/completion'
import { claimOverdueGenerations } from '@reelqueue/shared/store/lifecycle/overdue'
import { claimDuePolls, failOverdue, type PollRecord, recordPolls } from '@reelqueue/shared/store/lifecycle/polling'
import { recordOutcome } from '@reelqueue/shared/store/lifecycle/record-outcome'
import { beginSubmission } from '@reelqueue/shared/store/lifecycle/submissions'
import { overdueWork } from '@reelqueue/shared/store/operator/health'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { attemptsOn } from './support/attempts.ts'
import { beginRequestFor, intentOf, pollOf, SETTLING, type Seed, seedDatabase, taskIdOf } from './support/seed.ts'
import { until } from './support/wait.ts'

const LEASE_MS = 60_000
const COMPLETED: TerminalAnswer = { kind: 'completed', videoUrl: 'https://v/1', actualDuration: null, cost: null }
const OTHER: TerminalAnswer = { ...COMPLETED, videoUrl: 'https://v/2' }
const FAILED: TerminalAnswer = { kind: 'failed', code: 'upstream_failed', message: 'no', cost: null }

let seed: Seed
beforeEach(async () => {
  seed = await seedDatabase()
})
afterEach(() => seed.close())

const claim = (limit = 100) => claimDuePolls(seed.database, limit, LEASE_MS)
const fail = (id: string) => failOverdue(seed.database, [pollOf(id)], 'deadline_exceeded', SETTLING.renderMaxMs)

function record(id: string, rest: Partial<PollRecord> = {}): PollRecord {
  return {
    id,
    upstreamTaskId: taskIdOf(id),
    dispatchCount: 0,
    nextMs: 5_000,
    sawPending: true,
    pollFailures: 0,
    answer: null,
    ...rest,
  }
}
const write = (...records: PollRecord[]) => recordPolls(seed.database, records)

async function makeDue(ids: readonly string[]): Promise<void> {
  await seed.sql(`UPDATE generations SET due_at = now() - interval '1 s' WHERE id = ANY ($1)`, [ids])
}
async function due(count: number): Promise<string[]> {
  const ids: string[] = []
  for (let index = 0; index < count; index++) ids.push(await seed.processing())
  await makeDue(ids)
  return ids
}

describe('claiming', () => {
  it('counts the time since the submission, never the time in the queue: the deadline counts from the submission', async () => {
    const id = await seed.queued()
    await seed.sql(`UPDATE generations SET created_at = now() - interval '9 hours' WHERE id = $1`, [id])
    await admitGenerations(seed.database, CONFIGURED, 100)
    const { submissionId } = intentOf(await beginSubmission(seed.database, beginRequestFor(id), 'globalai', LEASE_MS))
    await seed.sql(`UPDATE submissions SET started_at = now() - interval '1 hour' WHERE id = $1`, [submissionId])
    await recordOutcome(seed.database, submissionId, { kind: 'accepted', taskId: taskIdOf(id) }, SETTLING)
    await makeDue([id])
    const [poll] = await claim()
    expect(Math.round((poll?.elapsedMs ?? 0) / 60_000)).toBe(60)
  })

  it('gives each due generation to one poller only, also while other pollers are still claiming', async () => {
    const ids = await due(12)
    const holder = await seed.database.prisma.$transaction(async (tx) => {
      const held = await tx.$queryRaw<{ id: string }[]>`
        SELECT id FROM generations WHERE due_at <= now() ORDER BY due_at LIMIT 4 FOR UPDATE`
      // Rows of an uncommitted poller are skipped, not waited for.
      const others = await Promise.all([claim(3), claim(3), claim(3)])
      return { held: held.map((row) => row.id), others: others.flat().map((poll) => poll.id) }
    })
    expect(new Set([...holder.held, ...holder.others]).size).toBe(12)
    expect(holder.others).toHaveLength(8)
    expect((await claim()).map((poll) => poll.id).sort()).toEqual(holder.held.sort())
    expect(await claim()).toEqual([])
    expect(ids).toHaveLength(12)
  })

  it('is a lease: when the poller dies, any poller finds the row again', async () => {
    const [id = ''] = await due(1)
    expect(await claim()).toMatchObject([{ id, upstreamTaskId: taskIdOf(id), status: 'processing', pollFailures: 0 }])
    expect(await claim()).toEqual([])
    await makeDue([id])
    expect(await claim()).toMatchObject([{ id }])
  })

  it('takes the longest overdue first, within its limit', async () => {
    const ids = await due(3)
    for (const [index, id] of ids.entries()) {
      await seed.sql(`UPDATE generations SET due_at = now() - $2 * interval '1 min' WHERE id = $1`, [id, index])
    }
    expect((await claim(2)).map((poll) => poll.id).sort()).toEqual(ids.slice(1).sort())
  })

  it('and reconcile never claim the same row', async () => {
    const [polled = '', answered = ''] = await due(2)
    await write(record(answered, { answer: COMPLETED }))
    const admitted = await seed.admitted()
    await makeDue([answered, admitted])
    expect((await claim()).map((poll) => poll.id)).toEqual([polled])
    expect(await claimOverdueGenerations(seed.database, 10, ['submit', 'complete'])).toMatchObject({
      submit: [{ id: admitted, dispatchCount: 1 }],
      complete: [{ id: answered, dispatchCount: 2 }],
    })
    expect(await claimOverdueGenerations(seed.database, 10, ['submit', 'complete'])).toEqual({
      submit: [],
      complete: [],
    })
  })
})

describe('the redelivery back-off of reconcile', () => {
  it('grows with every dispatch that led nowhere, and never beyond two minutes', async () => {
    const id = await seed.admitted()
    const backOffs: number[] = []
    for (let enqueue = 0; enqueue < 6; enqueue++) {
      await makeDue([id])
      await claimOverdueGenerations(seed.database, 10, ['submit', 'complete'])
      const [row] = await seed.sql<{ seconds: number }>(
        `SELECT round(extract(epoch FROM due_at - now()))::int AS seconds FROM generations WHERE id = $1`,
        [id],
      )
      backOffs.push(row?.seconds ?? 0)
    }
    expect(backOffs).toEqual([15, 30, 60, 120, 120, 120])
  })
})

describe('a dispatch', () => {
  it('never has the number of an earlier one: a job that was kept under its id cannot swallow it', async () => {
    const id = await seed.admitted()
    const numbers: number[] = []
    const overdue = async () => {
      await makeDue([id])
      const { submit, complete } = await claimOverdueGenerations(seed.database, 10, ['submit', 'complete'])
      numbers.push(...[...submit, ...complete].map((enqueue) => enqueue.dispatchCount))
    }
    await overdue()
    const begun = intentOf(await beginSubmission(seed.database, beginRequestFor(id), 'globalai', LEASE_MS))
    await overdue()
    const accepted = { kind: 'accepted', taskId: taskIdOf(id) } as const
    await recordOutcome(seed.database, begun.submissionId, accepted, SETTLING)
    await makeDue([id])
    const [poll] = await claim()
    await write(record(id, { dispatchCount: poll?.dispatchCount ?? 0, answer: COMPLETED }))
    numbers.push((poll?.dispatchCount ?? 0) + 1)
    await overdue()
    expect(numbers).toEqual([1, 2, 3, 4])
  })
})

describe('recording', () => {
  it('sets the next time, the failures in a row, and when the task was last seen unfinished', async () => {
    const [id = ''] = await due(1)
    await write(record(id, { sawPending: true }))
    const seen = await seed.row(id)
    expect(seen).toMatchObject({ pollFailures: 0, lastPendingAt: expect.any(Date), answer: null })
    await write(record(id, { sawPending: false, pollFailures: 3, nextMs: 60_000 }))
    const silent = await seed.row(id)
    expect(silent).toMatchObject({ status: 'processing', pollFailures: 3, lastPendingAt: seen.lastPendingAt })
    expect(silent.dueAt?.getTime()).toBeGreaterThan(Date.now() + 50_000)
  })

  it('changes nothing about a row that has left: cancelled, ended, answered, gone on to another task, or given it anew', async () => {
    const [cancelled = '', answered = '', elsewhere = '', done = '', again = ''] = await due(5)
    await cancelGeneration(seed.database, cancelled, 0)
    await write(record(answered, { answer: COMPLETED }), record(done, { answer: COMPLETED }))
    await completeGeneration(seed.database, done)
    await seed.sql(`UPDATE generations SET upstream_task_id = 'sora_new' WHERE id = $1`, [elsewhere])
    await fail(again)
    await attemptsOn(seed).adopt(again, taskIdOf(again))
    expect(await fail(again)).toEqual([])
    const ids = [cancelled, answered, elsewhere, done, again]
    const before = await Promise.all(ids.map((id) => seed.row(id)))
    await write(...ids.map((id) => record(id, { answer: OTHER, pollFailures: 9 })))
    expect(await Promise.all(ids.map((id) => seed.row(id)))).toEqual(before)
    expect(await completeGeneration(seed.database, cancelled)).toEqual([])
  })

  it('makes the row due for complete at once, whatever else the poll said', async () => {
    const [id = ''] = await due(1)
    await write(record(id, { answer: COMPLETED, nextMs: 600_000 }))
    const { complete } = await claimOverdueGenerations(seed.database, 10, ['submit', 'complete'])
    expect(complete.map((one) => one.id)).toEqual([id])
  })

  it('of nothing is nothing', async () => {
    await write()
  })

  it('by two pollers at the same instant keeps the first terminal answer', async () => {
    const [id = ''] = await due(1)
    await seed.collide(`SELECT 1 FROM generations WHERE id = '${id}' FOR UPDATE`, [
      () => write(record(id, { answer: COMPLETED })),
      () => write(record(id, { answer: FAILED })),
      () => write(record(id)),
    ])
    expect((await seed.row(id)).answer).toEqual(COMPLETED)
  })
})

describe('a deadline', () => {
  it('fails the generation, which stays due; a late success still completes it, with its event', async () => {
    const [id = ''] = await due(1)
    await write(record(id, { nextMs: 600_000 }))
    expect(await fail(id)).toMatchObject([{ id }])
    const failed = await seed.row(id)
    expect(failed).toMatchObject({ status: 'failed', errorCode: 'deadline_exceeded' })
    expect(failed.dueAt?.getTime()).toBeGreaterThan(Date.now() + 500_000)
    expect(failed.slotUntil?.getTime()).toBeGreaterThan(Date.now())

    await makeDue([id])
    expect(await claim()).toMatchObject([{ id, status: 'failed' }])
    await write(record(id, { answer: COMPLETED }))
    expect(await completeGeneration(seed.database, id)).toMatchObject([{ id }])
    expect(await seed.row(id)).toMatchObject({
      status: 'completed',
      videoUrl: 'https://v/1',
      errorCode: null,
      errorMessage: null,
      dueAt: null,
      slotUntil: null,
    })
    expect((await seed.events(id)).map((event) => event.type)).toEqual([
      'generation.queued',
      'generation.submitting',
      'generation.processing',
      'generation.failed',
      'generation.completed',
    ])
  })

  it('is reported once: a late failure changes neither code nor timeline, and ends the polls', async () => {
    const [id = ''] = await due(1)
    await fail(id)
    await write(record(id, { answer: FAILED }))
    expect(await completeGeneration(seed.database, id)).toEqual([])
    expect(await seed.row(id)).toMatchObject({
      status: 'failed',
      errorCode: 'deadline_exceeded',
      answer: null,
      dueAt: null,
      slotUntil: null,
    })
    expect((await seed.events(id)).filter((event) => event.type === 'generation.failed')).toHaveLength(1)
  })

  it('does not fail what has its answer already, at whatever instant that came', async () => {
    const [id = ''] = await due(1)
    const lock = `SELECT 1 FROM generations WHERE id = '${id}' FOR UPDATE`
    const [, moved] = await seed.collide<unknown>(lock, [
      () => write(record(id, { answer: COMPLETED })),
      () => fail(id),
    ])
    expect(moved).toEqual([])
    expect(await seed.row(id)).toMatchObject({ status: 'processing', answer: COMPLETED })
  })

  it('fails once when two pollers see it at the same instant', async () => {
    const [id = ''] = await due(1)
    const lock = `SELECT 1 FROM generations WHERE id = '${id}' FOR UPDATE`
    const moved = await seed.collide(lock, [() => fail(id), () => fail(id)])
    expect(moved.flat()).toHaveLength(1)
  })
})

describe('a deadlock', () => {
  it.each(['deadline', 'answers'])('with a stranger, which Postgres ends, is tried again (%s)', async (what) => {
    const [first = '', second = ''] = (await due(2)).sort()
    const moving = await seed.holding(`SELECT 1 FROM generations WHERE id = '${second}' FOR UPDATE`, async (sql) => {
      const both = [first, second]
      const running =
        what === 'deadline'
          ? failOverdue(seed.database, both.map(pollOf), 'deadline_exceeded', 1_000)
          : write(...both.map((id) => record(id, { answer: COMPLETED })))
      // The write holds the first row and waits for the second; the holder of the second row now wants the first.
      await until('it waits', async () => {
        const [row] = await seed.sql<{ waiting: number }>(
          `SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        )
        return row?.waiting === 1
      })
      await sql(`SELECT 1 FROM generations WHERE id = '${first}' FOR UPDATE`)
      return { running }
    })
    await moving.running
    const rows = await Promise.all([first, second].map((id) => seed.row(id)))
    if (what === 'deadline') expect(rows.map((row) => row.status)).toEqual(['failed', 'failed'])
    else expect(rows.map((row) => row.answer)).toEqual([COMPLETED, COMPLETED])
  })
})

describe('overdue work', () => {
  it('counts rows that are overdue for longer than the tolerance', async () => {
    expect(await overdueWork(seed.database, 500)).toEqual({ count: 0, stalled: [] })
    await due(2)
    await seed.queued()
    expect(await overdueWork(seed.database, 500)).toEqual({ count: 2, stalled: [] })
    expect(await overdueWork(seed.database, 60_000)).toEqual({ count: 0, stalled: [] })
  })
})
