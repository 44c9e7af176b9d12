// Who may use the connections to Postgres, and how many of them: a project has a share of each kind of request, so that it alone can
// neither fill the pool nor wait in it for ever. Accepting has no such bound: for it connections are left.

import { type FairTurns, fairTurns, type GiveBack, type TurnBounds } from '@reelqueue/shared/runtime/fair-turns'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ApiDeps } from './deps.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What it makes may be as many rows as a batch has. */
    isInsert?: boolean
  }
  interface FastifyInstance {
    /** Of routes that take their turn by themselves, once they need it. */
    insertTurns: FairTurns
  }
  interface FastifyRequest {
    turn: { readonly giveBack: GiveBack; readonly takeAgain: () => Promise<GiveBack> } | null
  }
}

/** Reads wait for no lock: they are bounded so that the line for a connection stays short. */
const READS: TurnBounds = { max: 64, maxPerKey: 16, waitingMaxPerKey: 1_000, waitMaxMs: 10_000 }

/** A change may wait for a row for as long as `LOCK_WAIT_MAX_MS` (store/database.ts), and holds a connection meanwhile. */
function changesOf(connectionsMax: number): TurnBounds {
  const max = thirdOf(connectionsMax)
  return { max, maxPerKey: Math.max(1, max - 1), waitingMaxPerKey: 1_000, waitMaxMs: 10_000 }
}

/** Batches that are inserted, whether uploaded or retried: each holds a connection to its end. */
function insertsOf(connectionsMax: number): TurnBounds {
  const max = thirdOf(connectionsMax)
  return { max, maxPerKey: Math.max(1, max - 1), waitingMaxPerKey: 100, waitMaxMs: 120_000 }
}

/** What is left by changes and inserts, a third or more, is held by nobody for long. */
const thirdOf = (connectionsMax: number) => Math.max(1, Math.floor(connectionsMax / 3))

/** After requests are known to be right, before their routes look at anything. */
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

/** Reads a part of an answer that is sent after the turn of its request: each part has a turn of its own. @throws NoTurn */
export async function readInTurn<T>({ turn }: FastifyRequest, read: () => Promise<T>): Promise<T> {
  const giveBack = await turn?.takeAgain()
  return await read().finally(giveBack)
}

/** Waits for something that needs no connection; others have the turn meanwhile. @throws NoTurn when there is none afterwards */
export async function waitOutside<T>(request: FastifyRequest, wait: () => Promise<T>): Promise<T> {
  const { turn } = request
  turn?.giveBack()
  const result = await wait()
  if (turn) request.turn = { ...turn, giveBack: await turn.takeAgain() }
  return result
}
