// The ordinary app context and upstream, wrapped so that each moment of `crash-points.ts` is noticed. Production code has no hook for crash
// points: all its effects pass through these ports, and a job's queue is known through every await.

import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import { MOVES, type MoveName } from '@reelqueue/contract/terms/status'
import type { AppContext } from '@reelqueue/shared/app-context'
import type { Upstream } from '@reelqueue/shared/providers/port'
import type { QueueBackend } from '@reelqueue/shared/queues/queue-backend'
import type { Database } from '@reelqueue/shared/store/database'
import { Prisma } from '@reelqueue/shared/store/generated/client'
import { moveStatement } from '@reelqueue/shared/store/lifecycle/moves'
import { nameOf } from '@reelqueue/shared/store/sql'
import type { Pass } from './crash-points.ts'

interface Job {
  readonly queue: string
  hasSettled: boolean
}

/** Concurrent steps share statements: a shared statement counts for the step that asked first. */
const jobs = new AsyncLocalStorage<Job>()

export function minedContext(context: AppContext, pass: Pass): AppContext {
  return { ...context, database: minedDatabase(context.database, pass), backend: minedBackend(context.backend, pass) }
}

function minedBackend(backend: QueueBackend, pass: Pass): QueueBackend {
  return {
    ...backend,
    createWorker: (queue, processor, options) =>
      backend.createWorker(
        queue,
        (job, token) =>
          jobs.run({ queue, hasSettled: false }, async () => {
            if (queue === 'complete') await pass('complete.begun')
            await processor(job, token)
            if (jobs.getStore()?.hasSettled) await pass('submit.before-done')
          }),
        options,
      ),
  }
}

type Call = (...args: unknown[]) => PromiseLike<unknown>

/** A raw statement: its text, without nested fragments, and its values. */
type Statement = readonly unknown[]

const nameIn = ([sql]: Statement) => (sql instanceof Prisma.Sql ? nameOf(sql.sql) : null)
const valuesIn = ([sql, ...values]: Statement) => (sql instanceof Prisma.Sql ? sql.values : values)

/** The target status of a statement of moves.ts; null for any other statement. */
function moveTo(statement: Statement): string | null {
  const moves = Object.keys(MOVES) as MoveName[]
  const move = moves.find((one) => nameIn(statement) === moveStatement(one))
  return move === undefined ? null : MOVES[move].to
}

function minedDatabase(database: Database, pass: Pass): Database {
  const { prisma } = database
  const replaced: Partial<Record<string | symbol, Call>> = {
    $transaction: (run, ...options) => transact(run, options),
    $queryRaw: (...statement) => ask(statement),
    $executeRaw: (...statement) => write(statement),
  }
  const call = (name: '$transaction' | '$queryRaw' | '$executeRaw', args: Statement) =>
    (prisma[name] as Call).apply(prisma, [...args])

  async function transact(run: unknown, options: unknown[]): Promise<unknown> {
    const job = jobs.getStore()
    const inSubmit = job?.queue === 'submit'
    let settling = false
    const runMined = async (tx: object) => {
      const result = await (run as Call)(inSubmit ? firstStatementSeen(tx, seeFirst) : tx)
      if (inSubmit && settling) await pass('submit.inside-settling')
      else if (inSubmit && hasBegun(result)) await pass('submit.inside-intent')
      return result
    }
    // A beginning transaction locks a generation by its id; a settling transaction names a submission.
    const seeFirst = async (statement: Statement) => {
      settling = valuesIn(statement).some((value) => typeof value === 'string' && value.startsWith('sub_'))
      if (!settling) await pass('submit.before-intent')
    }
    const result = await call('$transaction', [runMined, ...options])
    if (inSubmit && settling) {
      job.hasSettled = true
      await pass('submit.after-settling')
    } else if (inSubmit && hasBegun(result)) await pass('submit.after-intent')
    else if (job === undefined) await pass('accept.transacted')
    return result
  }

  /** Sends a statement in a transaction of its own, so that there is a moment between its end and the commit. */
  async function committing(statement: Statement, inside: () => Promise<void>): Promise<unknown> {
    const run = async (tx: { $queryRaw: Call }) => {
      const rows = await tx.$queryRaw(...statement)
      if (Array.isArray(rows) && rows.length > 0) await inside()
      return rows
    }
    return await call('$transaction', [run])
  }

  async function ask(statement: Statement): Promise<unknown> {
    const job = jobs.getStore()
    const to = moveTo(statement)
    if (job?.queue === 'submit' && to === 'processing') {
      const settled = await committing(statement, () => pass('submit.inside-settling'))
      if (isSome(settled)) {
        job.hasSettled = true
        await pass('submit.after-settling')
      }
      return settled
    }
    if (to !== null && (job?.queue === 'complete' || job?.queue === 'poll')) return await end(job, statement)
    if (job?.queue === 'deliver' && nameIn(statement) === 'recordAttempts') await pass('deliver.sent')
    const rows = await call('$queryRaw', statement)
    if (job?.queue === 'poll' && nameIn(statement) === 'claimDuePolls' && isSome(rows)) await pass('poll.claimed')
    if (job?.queue === 'deliver' && nameIn(statement) === 'claimDeliveries' && isSome(rows))
      await pass('deliver.claimed')
    if (!job && nameIn(statement) === 'insertGenerations') await pass('accept.committed')
    return rows
  }

  /** A move that ends generations: made directly by a poller, or by the complete step. */
  async function end(job: Job, statement: Statement): Promise<unknown> {
    if (job.queue === 'poll') await pass('poll.answered')
    const passing = afterNextTurn().then(() => pass('complete.moving'))
    const [moved] = await Promise.all([call('$queryRaw', statement), passing])
    if (isSome(moved)) await pass('complete.moved')
    if (job.queue === 'poll') await pass('poll.recorded')
    return moved
  }

  async function write(statement: Statement): Promise<unknown> {
    const job = jobs.getStore()
    if (job?.queue === 'poll') await pass('poll.answered')
    const changed = await call('$executeRaw', statement)
    if (job?.queue === 'poll') await pass('poll.recorded')
    return changed
  }

  const get = (target: Database['prisma'], name: string | symbol) => replaced[name] ?? Reflect.get(target, name, target)
  return { ...database, prisma: new Proxy(prisma, { get }) }
}

const isSome = (rows: unknown) => Array.isArray(rows) && rows.length > 0

/** A transaction that reports its first raw query before sending the query. */
function firstStatementSeen(tx: object, see: (statement: Statement) => Promise<void>): object {
  let seen = false
  const get = (target: object, name: string | symbol) => {
    const value: unknown = Reflect.get(target, name, target)
    if (name !== '$queryRaw' || typeof value !== 'function') return value
    return async (...statement: unknown[]) => {
      if (!seen) {
        seen = true
        await see(statement)
      }
      return await (value as Call).apply(target, statement)
    }
  }
  return new Proxy(tx, { get })
}

/** Whether a transaction has begun at least one submission. */
function hasBegun(result: unknown): boolean {
  if (typeof result !== 'object' || result === null) return false
  return 'rows' in result ? isSome(result.rows) : 'kind' in result && result.kind === 'begun'
}

/** Long enough for the last request to be on the wire. */
function afterNextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

/** `onAnswer` receives every task named by the provider, before any other code does. */
export function minedUpstream(upstream: Upstream, pass: Pass, onAnswer: (taskId: string) => void): Upstream {
  // Undici publishes this event when the last byte of a request has gone to the socket.
  subscribe('undici:request:bodySent', (message) => {
    const { method, path } = (message as { request: { method: string; path: string } }).request
    if (method === 'POST' && path.endsWith('/v1/sora/videos')) pass('submit.during-post').catch(() => undefined)
  })
  return {
    ...upstream,
    submit: async (request) => {
      const outcome = await upstream.submit(request)
      if (outcome.kind === 'accepted') onAnswer(outcome.taskId)
      await pass('submit.after-answer')
      return outcome
    },
  }
}
