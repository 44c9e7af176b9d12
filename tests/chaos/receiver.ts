// The receiver of the webhooks of a chaos run: verifies every webhook with the official library, and misbehaves at times.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'
import type { Dice } from './dice.ts'

export interface Receipt {
  readonly webhookId: string
  readonly body: string
  /** Whether the sender got a confirmation. */
  readonly confirmed: boolean
}

export interface Receiver {
  readonly url: string
  readonly receipts: readonly Receipt[]
  /** Webhooks whose signature did not verify, each with the reason. */
  readonly refused: readonly string[]
  /** Sets how often the receiver misbehaves, from 0 to 1. */
  misbehave(probability: number): void
  close(): Promise<void>
}

export async function startReceiver(secret: string, dice: Dice): Promise<Receiver> {
  const webhook = new Webhook(secret)
  const receipts: Receipt[] = []
  const refused: string[] = []
  let probability = 0

  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request)
    const webhookId = String(request.headers['webhook-id'])
    try {
      webhook.verify(body, request.headers as Record<string, string>)
    } catch (error) {
      refused.push(`${webhookId}: ${error}`)
      response.writeHead(400).end()
      return
    }
    const fault = dice.chance(probability) ? dice.pick(['500', 'hang', 'reset'] as const) : null
    receipts.push({ webhookId, body, confirmed: fault === null })
    if (fault === null) response.writeHead(204).end()
    else if (fault === '500') response.writeHead(500).end()
    else if (fault === 'reset') request.socket.resetAndDestroy()
  }
  const server = createServer((request, response) => {
    // A sender killed in the middle of a request has sent nothing.
    receive(request, response).catch(() => request.socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/hook`,
    receipts,
    refused,
    misbehave(often) {
      probability = often
    },
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
