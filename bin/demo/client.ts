// The few API calls of the demo, made like a user's program: with a key, over HTTP.

import { type BatchJson, batchJson } from '@reelqueue/contract/wire/batch'
import { type GenerationJson, generationJson } from '@reelqueue/contract/wire/generation'
import { z } from 'zod'
import { UserError } from '../command.ts'

export interface DemoClient {
  createBatch(body: unknown): Promise<BatchJson>
  readBatch(id: string): Promise<BatchJson>
  listBatch(id: string): Promise<GenerationJson[]>
}

export function createClient(url: string, key: string): DemoClient {
  async function call(path: string, init: RequestInit = {}): Promise<unknown> {
    const headers = { authorization: `Bearer ${key}`, ...(init.body ? { 'content-type': 'application/json' } : {}) }
    const response = await fetch(url + path, { ...init, headers })
    if (!response.ok) throw new UserError(`${path} answered ${response.status}: ${await response.text()}`)
    return await response.json()
  }
  return {
    createBatch: async (body) =>
      batchJson.parse(await call('/v1/batches', { method: 'POST', body: JSON.stringify(body) })),
    readBatch: async (id) => batchJson.parse(await call(`/v1/batches/${id}`)),
    listBatch: async (id) =>
      z.object({ data: z.array(generationJson) }).parse(await call(`/v1/generations?batch_id=${id}&limit=100`)).data,
  }
}
