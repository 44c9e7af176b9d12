// The ordinary house and upstream, wrapped so that each moment of `crash-points.ts` is noticed. Production code has no hook
// for this: whatever it does reaches the outside through these ports, and jobs carry their queue with them through every await.

import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import type { QueueBackend } from '@reelqueue/shared/queues/backend'
import type { Database } from '@reelqueue/shared/store/database'
import type { Upstream } from '@reelqueue/shared/upstream/port'
import type { House } from '../../bin/house.ts'
import type { Pass } from './crash-points.ts'

interface Job {
  readonly queue: string
  /** Raw statements that were sent outside a transaction. */
  statements: number
  hasSettled: boolean
}

const jobs = new AsyncLocalStorage<Job>()

export function minedHouse(house: House, pass: Pass): House {
  return { ...house, database: minedDatabase(house.database, pass), backend: minedBackend(house.backend, pass) }
}

function minedBackend(backend: QueueBackend, pass: Pass): QueueBackend {
  return {
    ...backend,
    createWorker: (queue, processor, options) =>
      backend.createWorker(
        queue,
        (job, token) =>
          jobs.run({ queue, statements: 0, hasSettled: false }, async () => {
            if (queue === 'complete') await pass('complete.begun')
            await processor(job, token)
            if (jobs.getStore()?.hasSettled) await pass('submit.before-done')
          }),
        options,
      ),
  }
}

type Call = (...args: unknown[]) => PromiseLike<unknown>

function minedDatabase(database: Database, pass: Pass): Database {
  const { prisma } = database
  const replaced: Partial<Record<string | symbol, Call>> = {
    $transaction: (run, ...options) => transact(run, options),
    $queryRaw: (...statement) => ask(() => call('$queryRaw', statement), statement),
    $executeRaw: (...statement) => write(() => call('$executeRaw', statement)),
  }
  const call = (name: '$transaction' | '$queryRaw' | '$executeRaw', args: unknown[]) =>
    (prisma[name] as Call).apply(prisma, args)

  async function transact(run: unknown, options: unknown[]): Promise<unknown> {
    const job = jobs.getStore()
    const inSubmit = job?.queue === 'submit'
    let settling = false
    const runMined = async (tx: object) => {
      const result = await (run as Call)(inSubmit ? firstStatementSeen(tx, seeFirst) : tx)
      if (inSubmit && settling) await pass('submit.inside-settling')
      else if (inSubmit && kindOf(result) === 'begun') await pass('submit.inside-intent')
      return result
    }
    // One that begins locks a generation by its id; one that settles names a submission.
    const seeFirst = async (statement: readonly unknown[]) => {
      settling = statement.some((value) => typeof value === 'string' && value.startsWith('sub_'))
      if (!settling) await pass('submit.before-intent')
    }
    const result = await call('$transaction', [runMined, ...options])
    if (inSubmit && settling) {
      job.hasSettled = true
      await pass('submit.after-settling')
    } else if (inSubmit && kindOf(result) === 'begun') await pass('submit.after-intent')
    else if (job === undefined) await pass('accept.transacted')
    return result
  }

  async function ask(send: () => PromiseLike<unknown>, statement: readonly unknown[]): Promise<unknown> {
    const job = jobs.getStore()
    const count = job ? ++job.statements : 0
    if (job?.queue === 'complete' && count === 2) {
      const passing = afterNextTurn().then(() => pass('complete.moving'))
      const [moved] = await Promise.all([send(), passing])
      await pass('complete.moved')
      return moved
    }
    const rows = await send()
    if (job?.queue === 'poll' && Array.isArray(rows) && rows.length > 0) await pass('poll.claimed')
    if (!job && String(statement[0]).includes('INSERT INTO generations')) await pass('accept.committed')
    return rows
  }

  async function write(send: () => PromiseLike<unknown>): Promise<unknown> {
    const job = jobs.getStore()
    const count = job ? ++job.statements : 0
    if (job?.queue === 'poll') await pass('poll.answered')
    // First it is looked at, then claimed; what is written after that is what became of it.
    if (job?.queue === 'deliver' && count > 2) await pass('deliver.sent')
    const changed = await send()
    if (job?.queue === 'poll') await pass('poll.recorded')
    if (job?.queue === 'deliver' && count === 2 && changed === 1) await pass('deliver.claimed')
    return changed
  }

  const get = (target: Database['prisma'], name: string | symbol) => replaced[name] ?? Reflect.get(target, name, target)
  return { ...database, prisma: new Proxy(prisma, { get }) }
}

/** A transaction that tells of its first raw query before sending it. */
function firstStatementSeen(tx: object, see: (statement: readonly unknown[]) => Promise<void>): object {
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

function kindOf(result: unknown): unknown {
  return typeof result === 'object' && result !== null && 'kind' in result ? result.kind : undefined
}

/** Long enough for what was just asked for to be on the wire. */
function afterNextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

/** `onAnswer` hears of every task that the provider named, before anything else does. */
export function minedUpstream(upstream: Upstream, pass: Pass, onAnswer: (taskId: string) => void): Upstream {
  // Undici says so when the last byte of a request has gone to the socket.
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
