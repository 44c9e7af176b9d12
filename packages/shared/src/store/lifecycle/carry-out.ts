// Carries out the plans of `decide` for rows that this transaction has locked: one statement for each kind of write, over
// all rows. The statements decide nothing.

import type { MoveName } from '@reelqueue/contract/terms/status'
import type { LedgerAddition, LedgerChange, Plan, RowChanges } from '../../domain/lifecycle/plan.ts'
import type { Snapshot } from '../../domain/lifecycle/snapshot.ts'
import type { Sql } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { COMPLETED } from './completed.ts'
import { type Moved, moveGenerations } from './moves.ts'
import { NOT_BEFORE } from './previous-tasks.ts'

export interface Planned {
  readonly snapshot: Pick<Snapshot, 'id'>
  readonly plan: Plan
}

/** @returns the moves, in the order of the kinds of moves */
export async function carryOut(tx: Sql, planned: readonly Planned[]): Promise<Moved[]> {
  await addToLedger(
    tx,
    planned.flatMap(({ snapshot: { id }, plan: { added } }) => (added ? { generationId: id, added } : [])),
  )
  await changeLedger(
    tx,
    planned.flatMap(({ plan }) => plan.ledger),
  )
  const moved: Moved[] = []
  for (const move of new Set(planned.map(({ plan }) => plan.move))) {
    const some = planned.filter(({ plan }) => plan.move === move)
    const changes = some.map(({ snapshot: { id }, plan: { row } }) => [id, row] as const)
    if (move === null) await changeRows(tx, changes)
    else moved.push(...(await moveRows(tx, move, changes)))
  }
  await askAbout(
    tx,
    planned.flatMap(({ snapshot: { id }, plan }) => (plan.askAbout === null ? [] : [[id, plan.askAbout]])),
  )
  return moved
}

type Changes = readonly (readonly [id: string, row: RowChanges])[]

async function moveRows(tx: Sql, move: MoveName, changes: Changes): Promise<Moved[]> {
  const ids = changes.map(([id]) => id)
  const set = move === 'complete' || move === 'completeLate' ? Prisma.sql`${COMPLETED}, ${SLOT}` : CHANGED
  const moved = await moveGenerations(tx, ids, move, { ctes: given(changes), set })
  // The rows are locked, and the plans are made for their present status.
  if (moved.length !== ids.length) throw new Error(`${move} moved ${moved.length} of ${ids.length} locked generations`)
  return moved
}

async function changeRows(tx: Sql, all: Changes): Promise<void> {
  const changes = all.filter(([, row]) => Object.keys(row).length > 0)
  if (changes.length === 0) return
  await tx.$executeRaw(sql.named('changeRows')`
    WITH ${given(changes)}
    UPDATE generations g
    SET ${CHANGED}
    WHERE g.id = ANY (${changes.map(([id]) => id)}::text[])`)
}

/** Looked up by id: a join would compare every row with every change. */
const given = (changes: Changes) =>
  Prisma.sql`given AS (SELECT ${JSON.stringify(Object.fromEntries(changes))}::jsonb AS changes)`

const CHANGE = Prisma.sql`((SELECT changes FROM given) -> g.id)`
const has = (field: keyof RowChanges) => Prisma.sql`jsonb_exists(${CHANGE}, ${Prisma.raw(`'${field}'`)})`
const text = (field: keyof RowChanges) => Prisma.sql`(${CHANGE} ->> ${Prisma.raw(`'${field}'`)})`
const json = (field: keyof RowChanges) => Prisma.sql`nullif(${CHANGE} -> ${Prisma.raw(`'${field}'`)}, 'null')`
const errorText = (field: 'code' | 'message') => Prisma.sql`(${CHANGE} -> 'error' ->> ${Prisma.raw(`'${field}'`)})`
/** The column takes `value` when the change has the field, and stays otherwise. */
const set = (column: string, field: keyof RowChanges, value: Prisma.Sql) =>
  Prisma.sql`
    ${Prisma.raw(column)} = CASE
      WHEN ${has(field)} THEN ${value}
      ELSE ${Prisma.raw(`g.${column}`)}
    END`
const after = (field: keyof RowChanges) => Prisma.sql`now() + ${text(field)}::float8 * interval '1 ms'`

const SLOT = Prisma.sql`
  slot_until = CASE
    WHEN ${has('slotAtLeastMs')} THEN greatest(g.slot_until, ${after('slotAtLeastMs')})
    WHEN ${has('slotMs')} THEN ${after('slotMs')}
    ELSE g.slot_until
  END`

/** The time at which the task's render began, and the last moment at which its video certainly did not exist. */
const RENDER = Prisma.sql`
  (submitted_at, last_pending_at) = (
    SELECT CASE
        WHEN ${text('renderFrom')} IS NULL THEN g.submitted_at
        WHEN ${text('renderFrom')} = 'adoption' THEN now()
        ELSE s.started_at
      END,
      CASE
        WHEN ${text('renderFrom')} IS NULL
          OR ${text('renderFrom')} = 'seen' AND g.upstream_task_id = ${text('taskId')}
          THEN g.last_pending_at
        WHEN ${text('renderFrom')} = 'adoption' THEN coalesce(${NOT_BEFORE}, s.started_at)
        ELSE ${NOT_BEFORE}
      END
    FROM (SELECT 1) AS one
    LEFT JOIN submissions s ON s.id = coalesce(
      ${text('currentSubmissionId')}, g.current_submission_id
    )
  )`

const CHANGED = Prisma.join([
  set('current_submission_id', 'currentSubmissionId', text('currentSubmissionId')),
  set('upstream_task_id', 'taskId', text('taskId')),
  RENDER,
  set('poll_failures', 'renderFrom', Prisma.sql`0`),
  set('last_poll', 'renderFrom', Prisma.sql`NULL`),
  set('due_at', 'dueMs', after('dueMs')),
  SLOT,
  Prisma.sql`may_be_charged = g.may_be_charged OR ${has('isCharged')}`,
  set(
    'admitted_at',
    'isAdmitted',
    Prisma.sql`CASE WHEN ${text('isAdmitted')}::boolean THEN coalesce(g.admitted_at, now()) END`,
  ),
  Prisma.sql`wakes = g.wakes + ${has('isDispatchedAnew')}::int`,
  set('attempt', 'attempt', Prisma.sql`${text('attempt')}::int`),
  set('error_code', 'error', errorText('code')),
  set('error_message', 'error', errorText('message')),
  set('answer', 'answer', json('answer')),
  set('cost', 'cost', json('cost')),
  Prisma.sql`
    cancel_requested_at = CASE
      WHEN ${has('isCancelRequested')} THEN coalesce(g.cancel_requested_at, now())
      ELSE g.cancel_requested_at
    END`,
])

async function changeLedger(tx: Sql, changes: readonly LedgerChange[]): Promise<void> {
  if (changes.length === 0) return
  const ids = changes.map(({ id }) => id)
  const byId = JSON.stringify(Object.fromEntries(changes.map((change) => [change.id, change])))
  const own = Prisma.sql`((SELECT changes FROM given) -> s.id)`
  const field = (name: keyof LedgerChange) => Prisma.raw(`'${name}'`)
  const has = (name: keyof LedgerChange) => Prisma.sql`jsonb_exists(${own}, ${field(name)})`
  const text = (name: keyof LedgerChange) => Prisma.sql`(${own} ->> ${field(name)})`
  const set = (column: string, name: keyof LedgerChange, value: Prisma.Sql) =>
    Prisma.sql`
      ${Prisma.raw(column)} = CASE
        WHEN ${has(name)} THEN ${value}
        ELSE ${Prisma.raw(`s.${column}`)}
      END`
  const marked = (name: keyof LedgerChange) => Prisma.sql`CASE WHEN ${text(name)}::boolean THEN now() END`
  const assignments = Prisma.join([
    set('state', 'state', Prisma.sql`${text('state')}::submission_state`),
    set('settled_at', 'state', Prisma.sql`clock_timestamp()`),
    set('upstream_task_id', 'taskId', text('taskId')),
    set('http_status', 'httpStatus', Prisma.sql`${text('httpStatus')}::int`),
    set('error_code', 'error', Prisma.sql`(${own} -> 'error' ->> 'code')`),
    set('error_message', 'error', Prisma.sql`(${own} -> 'error' ->> 'message')`),
    set('retry_at', 'retryMs', Prisma.sql`now() + ${text('retryMs')}::float8 * interval '1 ms'`),
    set('reply', 'reply', Prisma.sql`nullif(${own} -> 'reply', 'null')`),
    set('adopted_at', 'isAdopted', marked('isAdopted')),
    set('render_failed_at', 'hasRenderFailed', marked('hasRenderFailed')),
  ])
  await tx.$executeRaw(sql.named('changeLedger')`
    WITH given AS (
      SELECT ${byId}::jsonb AS changes
    )
    UPDATE submissions s
    SET ${assignments}
    WHERE s.id = ANY (${ids}::text[])`)
}

interface Addition {
  readonly generationId: string
  readonly added: LedgerAddition
}

async function addToLedger(tx: Sql, additions: readonly Addition[]): Promise<void> {
  if (additions.length === 0) return
  const column = (of: (one: Addition) => string | null) => Prisma.sql`${additions.map(of)}::text[]`
  await tx.$executeRaw(sql.named('addToLedger')`
    INSERT INTO submissions (
      id, generation_id, upstream, attempt, state, upstream_task_id, started_at, lease_until,
      settled_at, adopted_at
    )
    SELECT one.id, g.id, coalesce(s.upstream, g.upstream), coalesce(s.attempt, g.attempt),
      'accepted', one.task_id, coalesce(s.started_at, now()), coalesce(s.lease_until, now()),
      clock_timestamp(), CASE WHEN s.id IS NULL THEN now() END
    FROM unnest(
      ${column(({ added }) => added.id)}, ${column(({ added }) => added.taskId)},
      ${column(({ added }) => added.answered)}, ${column(({ generationId }) => generationId)}
    ) AS one (id, task_id, answered, generation_id)
    JOIN generations g ON g.id = one.generation_id
    LEFT JOIN submissions s ON s.id = one.answered`)
}

/** Has another task polled, at once. The deadline and the life of the video count from that task's submission. */
async function askAbout(tx: Sql, asked: readonly (readonly string[])[]): Promise<void> {
  if (asked.length === 0) return
  const column = (index: number) => Prisma.sql`${asked.map((one) => one[index])}::text[]`
  await tx.$executeRaw(sql.named('askAbout')`
    UPDATE generations g
    SET current_submission_id = s.id, upstream_task_id = s.upstream_task_id,
      submitted_at = s.started_at, last_pending_at = ${NOT_BEFORE}, poll_failures = 0,
      due_at = now()
    FROM unnest(${column(0)}, ${column(1)}) AS one (id, submission_id)
    JOIN submissions s ON s.id = one.submission_id
    WHERE g.id = one.id`)
}
