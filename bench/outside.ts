// The outside world of a pipeline under test, in a process of its own: a provider, and a receiver of webhooks. Both servers answer
// immediately and check nothing, so that only the pipeline is measured. Started with `fork`; controlled by messages.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { logNormal, mulberry } from './draw.ts'

/** How long clips render. */
export type Rendering =
  | { readonly kind: 'instant' }
  /** Until released, all at once. */
  | { readonly kind: 'held' }
  | { readonly kind: 'log-normal'; readonly medianMs: number; readonly sigma: number; readonly seed: number }

export type Order =
  | { readonly do: 'begin'; readonly rendering: Rendering }
  | { readonly do: 'release' }
  | { readonly do: 'report' }

export interface Report {
  readonly providerUrl: string
  readonly receiverUrl: string
  readonly created: number
  readonly polls: number
  /** Tasks polled at least once since `release`. */
  readonly askedSinceRelease: number
  /** Generations whose webhook arrived, and repeated webhooks. */
  readonly webhooks: number
  readonly repeated: number
  /** For each clip seen as ended, in order of creation: ms from its end to the poll that saw the end. */
  readonly lagsMs: readonly number[]
  readonly pollsOf: readonly number[]
}

interface Task {
  /** `performance.now()` of its end. */
  endsAt: number
  polls: number
  lagMs: number | null
}

let rendering: Rendering = { kind: 'instant' }
let random = mulberry(1)
/** Ids below this number belong to earlier runs and never come again. */
let firstTask = 0
let tasks: Task[] = []
let polls = 0
let asked = new Set<number>()
let heard = new Set<string>()
let repeated = 0

function endOf(): number {
  if (rendering.kind === 'instant') return 0
  if (rendering.kind === 'held') return Number.POSITIVE_INFINITY
  return performance.now() + logNormal(rendering.medianMs, rendering.sigma, random)
}

async function provide(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === 'POST') {
    await bodyOf(request)
    const id = `sora_${firstTask + tasks.push({ endsAt: endOf(), polls: 0, lagMs: null }) - 1}`
    replyJson(response, {
      id,
      object: 'video.generation',
      created: unixSeconds(),
      model: 'openAiSora2Plus',
      status: 'queued',
    })
    return
  }
  const number = Number(/sora_(\d+)$/.exec(request.url ?? '')?.[1])
  const task = tasks[number - firstTask]
  if (!task) {
    response.writeHead(404).end()
    return
  }
  polls++
  task.polls++
  asked.add(number)
  const sinceEnd = performance.now() - task.endsAt
  const base = { id: `sora_${number}`, object: 'video.generation', created: unixSeconds(), model: 'openAiSora2Plus' }
  if (sinceEnd < 0) {
    replyJson(response, { ...base, status: 'processing' })
    return
  }
  task.lagMs ??= sinceEnd
  replyJson(response, {
    ...base,
    status: 'completed',
    video_url: `https://videos.example/${number}.mp4`,
    actualDuration: 8,
  })
}

async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const id = /"id":"(gen_[a-z0-9]+)"/.exec(await bodyOf(request))?.[1] ?? ''
  if (heard.has(id)) repeated++
  else heard.add(id)
  response.writeHead(204).end()
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

const unixSeconds = () => Math.floor(Date.now() / 1_000)

function replyJson(response: ServerResponse, value: unknown): void {
  const text = JSON.stringify(value)
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}

function listening(answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>): Promise<Server> {
  // The client decides about idle connections: kept-alive connections are a part of the measurement.
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const [provider, receiver] = await Promise.all([listening(provide), listening(receive)])

function report(): Report {
  return {
    providerUrl: urlOf(provider),
    receiverUrl: urlOf(receiver),
    created: tasks.length,
    polls,
    askedSinceRelease: asked.size,
    webhooks: heard.size,
    repeated,
    lagsMs: tasks.flatMap((task) => task.lagMs ?? []),
    pollsOf: tasks.filter((task) => task.lagMs !== null).map((task) => task.polls),
  }
}

process.on('message', (order: Order) => {
  if (order.do === 'begin') {
    rendering = order.rendering
    if (rendering.kind === 'log-normal') random = mulberry(rendering.seed)
    firstTask += tasks.length
    tasks = []
    polls = 0
    heard = new Set()
    repeated = 0
    asked = new Set()
  } else if (order.do === 'release') {
    asked = new Set()
    for (const task of tasks) task.endsAt = Math.min(task.endsAt, performance.now())
    rendering = { kind: 'instant' }
  }
  process.send?.(report())
})
process.on('disconnect', () => process.exit(0))
process.send?.(report())
