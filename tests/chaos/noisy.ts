// The noisy tenant of a chaos run: a project that requests more than its share, cancels large batches, registers endpoints without a
// listener, adopts invented tasks and leaves uploads half sent. Its own generations are judged like all others.

import { connect } from 'node:net'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { openDatabase } from '@reelqueue/shared/store/database'
import { createProject } from '@reelqueue/shared/store/projects'
import { createSealer } from '@reelqueue/shared/webhooks/seal'
import { closedPort } from '../support/webhook-endpoint.ts'
import type { Accepted } from './clients.ts'
import type { Dice } from './dice.ts'
import { lasting } from './redis-server.ts'

const KEY = 'rq_chaos_key_of_the_noisy_project'
const PACE_MS = 1_000
const TRY_TIMEOUT_MS = 10_000
/** Low, so that a backlog of the project waits and a cancel finds generations to cancel. */
const IN_FLIGHT_MAX = 10
const ENDPOINTS = 5
const LOOKS = 50

export interface NoisyTenant {
  readonly accepted: readonly Accepted[]
  /** The tenant's actions, by action and answer. */
  readonly done: ReadonlyMap<string, number>
  /** Makes noise until `signal` aborts, with at most `generations` generations. */
  run(generations: number, signal: AbortSignal): Promise<void>
  /** Cancels the remaining batches and deletes the endpoints, where no delivery can succeed. Call this when every server works again. */
  leave(): Promise<void>
}

/** Stores the tenant's project; the receiver of the run can verify its webhooks. */
export async function storeNoisyProject(databaseUrl: string, secretKey: string, webhookSecret: string): Promise<void> {
  const database = openDatabase(databaseUrl, (error) => console.error(error.message))
  try {
    const sealer = createSealer(Buffer.from(secretKey, 'base64'))
    await createProject(database, 'noisy', (id) => sealer.seal(webhookSecret, secretPlace(id)), {
      name: 'noisy',
      key: KEY,
    })
  } finally {
    await database.close()
  }
}

export function createNoisyTenant(dice: Dice, urls: readonly string[], webhookUrl: string): NoisyTenant {
  const accepted: Accepted[] = []
  const done = new Map<string, number>()
  const endpoints: string[] = []
  let asked = 0
  let requests = 0
  let isLimited = false

  async function send(what: string, method: string, path: string, body?: unknown, headers?: Record<string, string>) {
    const reply = await fetch(dice.pick(urls) + path, {
      method,
      headers: {
        authorization: `Bearer ${KEY}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TRY_TIMEOUT_MS),
    })
      .then(async (one) => ({ status: one.status, text: await one.text() }))
      .catch(() => ({ status: 0, text: '' }))
    const name = `${what} ${reply.status || 'no answer'}`
    done.set(name, (done.get(name) ?? 0) + 1)
    return reply
  }

  /** Repeats a request until an answer comes: even after the storm an API may still be starting. */
  async function insist(...request: Parameters<typeof send>): Promise<string> {
    for (;;) {
      const { status, text } = await send(...request)
      if (status >= 200 && status < 500) return text
      await lasting(PACE_MS)
    }
  }

  async function askForMany(count: number): Promise<void> {
    const items = Array.from({ length: count }, () => ({
      model: 'openAiSora2Plus',
      prompt: `noise ${asked++} [sim:render=${dice.whole(0, 500)}]`,
    }))
    const key = `noise-${requests++}`
    const frame = dice.chance(0.3) ? { webhook_url: webhookUrl } : {}
    const reply = await send('batch', 'POST', '/v1/batches', { ...frame, items }, { 'idempotency-key': key })
    if (reply.status === 202) accepted.push({ kind: 'batch', id: (JSON.parse(reply.text) as { id: string }).id, key })
  }

  async function act(generations: number): Promise<void> {
    const what = dice.weighted([
      [4, 'batch'],
      [3, 'cancel'],
      [2, 'priority'],
      [2, 'adopt'],
      [1, 'looks'],
      [1, 'halfSent'],
    ] as const)
    if (what === 'batch') {
      if (asked < generations) await askForMany(Math.min(dice.whole(20, 100), generations - asked))
      return
    }
    if (what === 'looks') {
      await Promise.all(Array.from({ length: LOOKS }, () => send('readiness', 'GET', '/readyz')))
      return
    }
    if (what === 'halfSent') return await leaveHalfSent(dice.pick(urls))
    if (what === 'adopt') {
      const { status, text } = await send('list', 'GET', '/v1/generations?status=failed&limit=10')
      const failed = status === 200 ? (JSON.parse(text) as { data: { id: string }[] }).data : []
      const body = { upstream_task_id: `sora_${dice.whole(1, 1_000_000)}` }
      await Promise.all(failed.map(({ id }) => send('adopt', 'POST', `/v1/generations/${id}/adopt`, body)))
      return
    }
    if (accepted.length === 0) return
    const { id } = dice.pick(accepted.slice(-5))
    if (what === 'cancel')
      await send('cancel', 'POST', `/v1/batches/${id}/cancel`, { rendering: dice.pick(['finish', 'cancel'] as const) })
    else await send('priority', 'PATCH', `/v1/batches/${id}`, { priority: dice.whole(-100, 100) })
  }

  /** Sets the limit once, as soon as an API answers. */
  async function limit(): Promise<void> {
    if (isLimited) return
    isLimited = (await send('limit', 'PATCH', '/v1/project', { max_in_flight: IN_FLIGHT_MAX })).status === 200
  }

  async function register(): Promise<void> {
    if (endpoints.length >= ENDPOINTS) return
    const url = `http://127.0.0.1:${await closedPort()}/nobody`
    const { status, text } = await send('endpoint', 'POST', '/v1/webhook_endpoints', { url })
    if (status === 201) endpoints.push((JSON.parse(text) as { id: string }).id)
  }

  return {
    accepted,
    done,
    async run(generations, signal) {
      while (!signal.aborted) {
        await limit()
        await register()
        if (isLimited) await act(generations)
        await lasting(PACE_MS)
      }
    },
    async leave() {
      const { data } = JSON.parse(await insist('endpoints', 'GET', '/v1/webhook_endpoints')) as {
        data: { id: string }[]
      }
      for (const { id } of accepted)
        await insist('last cancel', 'POST', `/v1/batches/${id}/cancel`, { rendering: 'finish' })
      for (const { id } of data) await insist('delete endpoint', 'DELETE', `/v1/webhook_endpoints/${id}`)
    },
  }
}

/** Announces a large body, sends its beginning, and closes the connection after a while. */
async function leaveHalfSent(url: string): Promise<void> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  socket.on('error', () => undefined)
  socket.write(
    `POST /v1/batches HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${KEY}\r\ncontent-type: application/json\r\ncontent-length: 40000000\r\n\r\n{"items":[`,
  )
  await lasting(PACE_MS)
  socket.destroy()
}
