// The clients of a chaos run: each client repeats its request until the answer is 202, with the same Idempotency-Key for all tries, as the
// README advises. A request answered with 202 may never be lost.

import type { Dice } from './dice.ts'
import { OVERTIME } from './options.ts'
import { lasting } from './redis-server.ts'
import { generationBody } from './requests.ts'

export interface Accepted {
  readonly kind: 'generation' | 'batch'
  readonly id: string
  readonly key: string
}

export interface Clients {
  readonly accepted: readonly Accepted[]
  /** Answers that no client should ever see. */
  readonly wrong: readonly string[]
  /** Tries that ended without a 202: lost connections, silence, 5xx. */
  readonly repeated: () => number
  /** How many generations were requested. */
  readonly asked: () => number
  /**
   * Requests at least `count` generations, spread over `ms`, and continues at the same rate until `enough`, for up to `OVERTIME` times as
   * long; resolves when each request has its 202.
   */
  run(count: number, ms: number, enough: () => boolean): Promise<void>
}

const TRY_TIMEOUT_MS = 10_000
const BATCH_SHARE = 0.06
const LINES_SHARE = 0.5
const JSON_TYPE = 'application/json'
/** Clients that wait for their 202 at the same time; while the app is down, more clients would only keep the machine busy. */
const WAITING_MAX = 24

interface Request {
  readonly path: string
  readonly type: string
  readonly body: string
}

const batchDocument = (items: readonly object[], frame: object): Request => ({
  path: '/v1/batches',
  type: JSON_TYPE,
  body: JSON.stringify({ ...frame, items }),
})

const batchOfLines = (items: readonly object[], frame: Record<string, string>): Request => ({
  path: `/v1/batches?${new URLSearchParams(frame)}`,
  type: 'application/x-ndjson',
  body: items.map((item) => JSON.stringify(item)).join('\n'),
})

export function createClients(dice: Dice, urls: readonly string[], key: string, webhookUrl: string): Clients {
  const accepted: Accepted[] = []
  const wrong: string[] = []
  let repeated = 0
  let asked = 0

  async function ask({ path, type, body }: Request, idempotencyKey: string): Promise<string | null> {
    for (let tries = 0; ; tries++) {
      if (tries > 0) {
        repeated++
        await lasting(100 + 200 * Math.min(tries, 5))
      }
      try {
        const reply = await fetch(`${urls[(asked + tries) % urls.length]}${path}`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${key}`,
            'content-type': type,
            'idempotency-key': idempotencyKey,
          },
          body,
          signal: AbortSignal.timeout(TRY_TIMEOUT_MS),
        })
        const text = await reply.text()
        if (reply.status === 202) return (JSON.parse(text) as { id: string }).id
        if (reply.status >= 500) continue
        wrong.push(`POST ${path} with ${idempotencyKey}: ${reply.status} ${text}`)
        return null
      } catch {
        // The connection broke or stayed silent: only the next try can show whether this try was accepted.
      }
    }
  }

  async function accept(kind: Accepted['kind'], request: Request, idempotencyKey: string): Promise<void> {
    // Some clients send again after a 202, as if the answer had been lost.
    const drops = dice.chance(0.05)
    const id = await ask(request, idempotencyKey)
    if (id === null) return
    accepted.push({ kind, id, key: idempotencyKey })
    const again = drops ? await ask(request, idempotencyKey) : id
    if (again !== id) wrong.push(`POST ${request.path} with ${idempotencyKey}: first ${id}, then ${again}`)
  }

  async function askNext(): Promise<void> {
    const idempotencyKey = `key-${asked}`
    if (!dice.chance(BATCH_SHARE)) {
      const body = JSON.stringify(generationBody(dice, asked++, webhookUrl))
      return await accept('generation', { path: '/v1/generations', type: JSON_TYPE, body }, idempotencyKey)
    }
    const items = Array.from({ length: dice.whole(2, 10) }, () => generationBody(dice, asked++, webhookUrl))
    const frame = dice.chance(0.8) ? { webhook_url: webhookUrl } : {}
    const request = dice.chance(LINES_SHARE) ? batchOfLines(items, frame) : batchDocument(items, frame)
    await accept('batch', request, idempotencyKey)
  }

  return {
    accepted,
    wrong,
    repeated: () => repeated,
    asked: () => asked,
    async run(count, ms, enough) {
      const beganAt = performance.now()
      const asking = new Set<Promise<void>>()
      while (asked < count || (!enough() && performance.now() - beganAt < OVERTIME * ms)) {
        const one = askNext().finally(() => asking.delete(one))
        asking.add(one)
        await lasting(Math.max(0, beganAt + (ms * asked) / count - performance.now()))
        if (asking.size >= WAITING_MAX) await Promise.race(asking)
      }
      await Promise.all(asking)
    },
  }
}
