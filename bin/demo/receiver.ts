// The demo's own webhook receiver: verifies each delivery with the official library, like a user's server.

import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { z } from 'zod'

const delivered = z.object({ type: z.string(), data: z.object({ id: z.string() }) })

interface Receipt {
  readonly webhookId: string
  readonly type: string
  /** The generation or batch of the event. */
  readonly subjectId: string
}

export interface Receiver {
  readonly url: string
  /** Verified deliveries in order of arrival, each `webhook-id` once. */
  readonly receipts: readonly Receipt[]
  /** Deliveries whose signature did not verify. */
  readonly refused: () => number
  /** Resolves with the receipt of an event type and subject, as soon as the receipt exists. */
  waitFor(type: string, subjectId: string): Promise<Receipt>
  close(): Promise<void>
}

export async function startReceiver(secret: string): Promise<Receiver> {
  const webhook = new Webhook(secret)
  const receipts: Receipt[] = []
  const waiting: { type: string; subjectId: string; resolve: (receipt: Receipt) => void }[] = []
  let refused = 0

  const server = createServer(async (request, response) => {
    try {
      const body = await read(request)
      webhook.verify(body, headersOf(request))
      const { type, data } = delivered.parse(JSON.parse(body))
      const receipt = { webhookId: String(request.headers['webhook-id']), type, subjectId: data.id }
      if (!receipts.some((known) => known.webhookId === receipt.webhookId)) receipts.push(receipt)
      for (const one of waiting) if (one.type === type && one.subjectId === data.id) one.resolve(receipt)
      response.writeHead(204).end()
    } catch {
      refused++
      response.writeHead(400).end()
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  return {
    url: `http://127.0.0.1:${port}/webhooks`,
    receipts,
    refused: () => refused,
    waitFor(type, subjectId) {
      const known = receipts.find((receipt) => receipt.type === type && receipt.subjectId === subjectId)
      if (known) return Promise.resolve(known)
      return new Promise((resolve) => waiting.push({ type, subjectId, resolve }))
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function headersOf(request: IncomingMessage): Record<string, string> {
  return Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
}
