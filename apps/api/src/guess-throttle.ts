// Wrong passwords delay the next login (domain/login-guess.ts). The counts are in Postgres, together for all API processes.
// The name of a guess does not matter: a count for each name would tell which names exist.

import { Later } from '@reelqueue/contract/terms/problem'
import { ADDRESS_LIMIT, NAME_LIMIT } from '@reelqueue/shared/domain/login-guess'
import { clientOf } from '@reelqueue/shared/runtime/client-address'
import type { Logger } from '@reelqueue/shared/runtime/log'
import type { Database } from '@reelqueue/shared/store/database'
import { recordAudit } from '@reelqueue/shared/store/operator/audit'
import { countWrong, purgeGuesses, readLogin } from '@reelqueue/shared/store/operator/operator-login'
import type { FastifyRequest } from 'fastify'

/** All guesses count for a single name. */
const NAME_KEY = 'name operator'
const REMEMBERED_MAX = 1_000

export interface Guess {
  /** Whose guesses are counted together: a known device, or an address. */
  readonly client: string
  /** SHA-256 of the password made at the first start; null without one. */
  readonly madeHash: string | null
}

export interface GuessThrottle {
  /**
   * Must precede the comparison of a password. `device`: the known device of the request, or null.
   * @throws Later `too_many_guesses`
   */
  begin(request: FastifyRequest, device: string | null): Promise<Guess>
  /** Whether the client must wait because of guesses since `begin`. @throws Later `too_many_guesses` */
  checkAgain(guess: Guess): void
  /**
   * Counts a wrong password. `name`: the operator whose password was guessed, or `unknown`.
   * @throws Later `too_many_guesses` when the result of the comparison must not be told
   */
  wrong(request: FastifyRequest, guess: Guess, name: string): Promise<void>
  right(guess: Guess): void
}

export function createGuessThrottle(database: Database, log: Logger): GuessThrottle {
  /** Blocked clients with the end of the wait: a flood of guesses costs no statement. */
  const waiting = new Map<string, number>()
  /** Clients that gave a right password before: guesses of other clients do not block them. */
  const letIn = new Set<string>()

  function hold(client: string, waitMs: number): void {
    if (!waiting.has(client)) {
      if (waiting.size >= REMEMBERED_MAX) waiting.clear()
      log.warn({ event: 'operator.login_blocked', client, waitMs: Math.ceil(waitMs) })
    }
    waiting.set(client, performance.now() + waitMs)
  }

  function checkWaiting(client: string): void {
    const leftMs = (waiting.get(client) ?? 0) - performance.now()
    if (leftMs > 0) throw tooMany(leftMs)
    waiting.delete(client)
  }

  /** One audit row for each wait that begins, whichever process counted. */
  async function auditWait(request: FastifyRequest, name: string, key: string, waitMs: number): Promise<void> {
    const actor = { name, via: 'password', address: clientOf(request.ip), requestId: request.id } as const
    const changes = { counted: key, wait_ms: Math.ceil(waitMs) }
    await recordAudit(database.prisma, actor, { action: 'logInBlocked', subject: null, projectId: null, changes })
  }

  return {
    async begin(request, device) {
      const client = device === null ? `address ${clientOf(request.ip)}` : `device ${device}`
      checkWaiting(client)
      const stored = await readLogin(database, client, NAME_KEY)
      if (stored.addressWaitMs !== null) {
        hold(client, stored.addressWaitMs)
        throw tooMany(stored.addressWaitMs)
      }
      if (stored.nameWaitMs !== null && device === null && !letIn.has(client)) throw tooMany(stored.nameWaitMs)
      return { client, madeHash: stored.hash }
    },
    checkAgain: ({ client }) => checkWaiting(client),
    async wrong(request, { client }, name) {
      const waitMs = await countWrong(database, client, ADDRESS_LIMIT)
      if (waitMs === null) {
        const { addressWaitMs } = await readLogin(database, client, NAME_KEY)
        hold(client, addressWaitMs ?? 1_000)
        throw tooMany(addressWaitMs ?? 1_000)
      }
      if (waitMs > 0) await auditWait(request, name, client, waitMs)
      const nameWaitMs = await countWrong(database, NAME_KEY, NAME_LIMIT)
      if (nameWaitMs !== null && nameWaitMs > 0) await auditWait(request, name, 'all clients', nameWaitMs)
      await purgeGuesses(database, ADDRESS_LIMIT.purgedAfterMs)
    },
    right({ client }) {
      if (letIn.size >= REMEMBERED_MAX) letIn.clear()
      letIn.add(client)
    },
  }
}

const tooMany = (waitMs: number) => new Later('too_many_guesses', Math.ceil(waitMs / 1_000))
