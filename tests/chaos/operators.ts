// The operators and callers of a chaos run who interfere: they cancel, retry failures, singly and by the batch, and adopt tasks found at
// the provider. Every answer is acceptable as long as its consequences are right: only the checks judge.

import type { Accepted } from './clients.ts'
import type { Dice } from './dice.ts'
import type { ProviderRecord } from './provider.ts'
import { lasting } from './redis-server.ts'

export interface Operators {
  /** The operators' actions, by action and answer. */
  readonly done: ReadonlyMap<string, number>
  /** Interferes until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
}

export const OPERATOR_PASSWORD = 'chaos-operator'
const PACE_MS = 400
const TRY_TIMEOUT_MS = 10_000

interface Seen {
  readonly id: string
  readonly status: string
  readonly prompt: string
}

export function createOperators(
  dice: Dice,
  urls: readonly string[],
  key: string,
  accepted: readonly Accepted[],
  records: () => Promise<readonly ProviderRecord[]>,
): Operators {
  const done = new Map<string, number>()

  const login = `Basic ${btoa(`operator:${OPERATOR_PASSWORD}`)}`

  async function send(method: string, path: string, body?: unknown): Promise<{ status: number; text: string }> {
    try {
      const reply = await fetch(dice.pick(urls) + path, {
        method,
        headers: {
          authorization: path.startsWith('/admin/') ? login : `Bearer ${key}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(TRY_TIMEOUT_MS),
      })
      return { status: reply.status, text: await reply.text() }
    } catch {
      return { status: 0, text: '' }
    }
  }

  async function act(
    action: 'cancel' | 'retry' | 'adopt',
    of: Accepted['kind'],
    id: string,
    body?: unknown,
    under: '/v1' | '/admin' = '/v1',
  ) {
    const { status } = await send(
      'POST',
      of === 'batch' ? `/v1/batches/${id}/${action}` : `${under}/generations/${id}/${action}`,
      body,
    )
    const what = `${action} ${of === 'batch' ? 'batch ' : ''}${status === 0 ? 'no answer' : status}`
    done.set(what, (done.get(what) ?? 0) + 1)
  }

  async function failedOne(): Promise<Seen | null> {
    const { status, text } = await send('GET', '/v1/generations?status=failed&limit=50')
    if (status !== 200) return null
    const { data } = JSON.parse(text) as { data: Seen[] }
    return data.length === 0 ? null : dice.pick(data)
  }

  async function interfere(): Promise<void> {
    const what = dice.weighted([
      [4, 'cancel'],
      [3, 'retry'],
      [3, 'adopt'],
      [1, 'cancelBatch'],
      [2, 'retryBatch'],
    ] as const)
    if (what === 'cancel') {
      const recent = accepted.slice(-5).filter((one) => one.kind === 'generation')
      if (recent.length > 0) await act('cancel', 'generation', dice.pick(recent).id)
      return
    }
    if (what === 'cancelBatch' || what === 'retryBatch') {
      // The newest batches still run; older batches have failures to retry.
      const batches = accepted.filter((one) => one.kind === 'batch').slice(-10)
      if (batches.length === 0) return
      if (what === 'retryBatch') return await act('retry', 'batch', dice.pick(batches).id)
      return await act('cancel', 'batch', dice.pick(batches.slice(-2)).id, {
        rendering: dice.pick(['finish', 'cancel'] as const),
      })
    }
    const failed = await failedOne()
    if (failed === null) return
    if (what === 'retry') return await act('retry', 'generation', failed.id)
    const tasks = (await records()).filter((one) => one.prompt === failed.prompt && one.taskId !== null)
    if (tasks.length === 0) return
    const body = { upstream_task_id: dice.pick(tasks).taskId }
    // The API key suffices only where a submission has an unknown outcome.
    await act('adopt', 'generation', failed.id, body, dice.pick(['/v1', '/admin']))
  }

  return {
    done,
    async run(signal) {
      while (!signal.aborted) {
        await interfere()
        await lasting(PACE_MS)
      }
    },
  }
}
