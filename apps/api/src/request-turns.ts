// Shares the connections to Postgres: a project has a limited share of each kind of request, so a single project can
// neither fill the pool nor make other projects wait for ever. Accepting single generations has no bound: some
// connections stay free for accepting.

import { type FairTurns, fairTurns, type GiveBack, type TurnBounds } from '@reelqueue/shared/runtime/fair-turns'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ApiDeps } from './deps.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route may insert as many rows as a batch has. */
    isInsert?: boolean
  }
  interface FastifyInstance {
    /** Turns for routes that take a turn later, by themselves. */
    insertTurns: FairTurns
  }
  interface FastifyRequest {
    turn: { readonly giveBack: GiveBack; readonly takeAgain: () => Promise<GiveBack> } | null
  }
}

/** Reads wait for no lock; the bound keeps the line for a connection short. */
const READS: TurnBounds = { max: 64, maxPerKey: 16, waitingMaxPerKey: 1_000, waitMaxMs: 10_000 }

/** A change holds a connection and may wait for a row lock up to `LOCK_WAIT_MAX_MS` (store/database.ts). */
function changesOf(connectionsMax: number): TurnBounds {
  const max = thirdOf(connectionsMax)
  return { max, maxPerKey: Math.max(1, max - 1), waitingMaxPerKey: 1_000, waitMaxMs: 10_000 }
}

/** Inserts of uploaded or retried batches: each insert holds a connection until the end. */
function insertsOf(connectionsMax: number): TurnBounds {
  const max = thirdOf(connectionsMax)
  return { max, maxPerKey: Math.max(1, max - 1), waitingMaxPerKey: 100, waitMaxMs: 120_000 }
}

/** Changes and inserts leave a third of the connections or more; no statement holds these for long. */
const thirdOf = (connectionsMax: number) => Math.max(1, Math.floor(connectionsMax / 3))

/** Runs after the request was validated and before the route's handler. */
export function takeRequestTurns(keyed: FastifyInstance, { database }: Pick<ApiDeps, 'database'>): void {
  const reads = fairTurns(READS)
  const changes = fairTurns(changesOf(database.connectionsMax))
  const inserts = fairTurns(insertsOf(database.connectionsMax))
  keyed.decorate('insertTurns', inserts)
  keyed.decorateRequest('turn', null)

  keyed.addHook('preHandler', (request, _reply, done) => {
    const { looksAtKey, isUpload, isInsert } = request.routeOptions.config
    if (looksAtKey || isUpload) return done()
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    const turns = isRead ? reads : isInsert ? inserts : changes
    const takeAgain = () => turns.take(request.project.id)
    const begin = (giveBack: GiveBack) => {
      request.turn = { giveBack, takeAgain }
      done()
    }
    const giveBack = turns.tryTake(request.project.id)
    if (giveBack) begin(giveBack)
    else takeAgain().then(begin, done)
  })
  keyed.addHook('onSend', (request, _reply, payload, done) => {
    request.turn?.giveBack()
    done(null, payload)
  })
}

/** Reads a part of a reply sent after the request's turn ended: each part takes a new turn. @throws NoTurn */
export async function readInTurn<T>({ turn }: FastifyRequest, read: () => Promise<T>): Promise<T> {
  const giveBack = await turn?.takeAgain()
  return await read().finally(giveBack)
}

/**
 * Waits without a connection; other requests have the turn during the wait. @throws NoTurn when no turn is free
 * afterwards
 */
export async function waitOutside<T>(request: FastifyRequest, wait: () => Promise<T>): Promise<T> {
  const { turn } = request
  turn?.giveBack()
  const result = await wait()
  if (turn) request.turn = { ...turn, giveBack: await turn.takeAgain() }
  return result
}
