// The simulator of a chaos run behind a relay, and its record of received requests: the evidence of payments.

import { buildSimulator } from '@reelqueue/simulator/app'
import { type Relay, startRelay } from '../support/relay.ts'

/** A create request received by the provider. */
export interface ProviderRecord {
  readonly at: string
  readonly prompt: string
  readonly outcome: string
  /** The task made by the request: a task costs money. */
  readonly taskId: string | null
}

export interface Provider {
  readonly url: string
  readonly relay: Relay
  records(): Promise<readonly ProviderRecord[]>
  /** The number of polls by outcome. */
  polls(): Promise<Readonly<Record<string, number>>>
  /** How many requests of any kind the provider has received. */
  requests(): number
  /** Answers the next requests of any client with this fault; `times` null: until `endFaults`. */
  arm(on: 'create' | 'poll', fault: string, times: number | null): Promise<void>
  endFaults(): Promise<void>
  close(): Promise<void>
}

export async function startProvider(seed: number): Promise<Provider> {
  const simulator = buildSimulator({ seed, speed: 100 })
  let requests = 0
  simulator.addHook('onRequest', async () => {
    requests++
  })
  const listening = new URL(await simulator.listen({ host: '127.0.0.1', port: 0 }))
  const relay = await startRelay({ host: '127.0.0.1', port: Number(listening.port) })
  return {
    url: `http://127.0.0.1:${relay.port}`,
    relay,
    requests: () => requests,
    async records() {
      const reply = await simulator.inject('/control/submissions')
      return reply.json<{ submissions: ProviderRecord[] }>().submissions
    },
    async polls() {
      const reply = await simulator.inject('/control/stats')
      return reply.json<{ polls: Record<string, number> }>().polls
    },
    async arm(on, fault, times) {
      await simulator.inject({
        method: 'POST',
        url: '/control/faults',
        payload: times === null ? { on, fault } : { on, fault, times },
      })
    },
    async endFaults() {
      await simulator.inject({ method: 'DELETE', url: '/control/faults' })
    },
    async close() {
      await relay.cut()
      await simulator.close()
    },
  }
}
