// An upload of 200 MiB is never held in memory: an API with a far smaller heap reads, checks and refuses the whole
// upload. Many simultaneous documents of 40 MiB neither fill the memory nor block other requests.

import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'
import { clientOfNewProject, countRows, MINIMAL, problemOf, type Reply } from './support/api.ts'
import { runCommand } from './support/command.ts'
import { createDatabase } from './support/database.ts'
import { startTestApp, type TestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const LINES = 50_000
const BAD_LINE = 9_001
/** Bytes of each line: a little less than 200 MiB in total. */
const LINE_BYTES = 4_150
/** The process would die beyond this limit. */
const HEAP_MAX_MIB = 256
const GROWTH_MAX_MIB = 300

function* upload(): Generator<Buffer> {
  const metadata = { text: 'x'.repeat(LINE_BYTES - JSON.stringify({ ...MINIMAL, metadata: { text: '' } }).length - 1) }
  const good = Buffer.from(`${JSON.stringify({ ...MINIMAL, metadata })}\n`)
  const bad = Buffer.from(`${JSON.stringify({ ...MINIMAL, metadata }).replace('}', ']')}\n`)
  for (let line = 1; line <= LINES; line++) yield line === BAD_LINE ? bad : good
}

const DOCUMENTS = 60
const DOCUMENT_ITEMS = 2_560
const DOCUMENTS_HEAP_MIB = 512
/** The whole heap, and the buffers outside the heap. */
const DOCUMENTS_GROWTH_MAX_MIB = 700

/**
 * A document of 40 MiB, in pieces; almost all documents have an invalid item, so the test does not measure Postgres.
 */
function documentPieces(isGood: boolean): Buffer[] {
  const metadata = { text: 'x'.repeat(16_000) }
  const item = Buffer.from(JSON.stringify({ ...MINIMAL, metadata, custom_id: undefined }))
  const first = isGood ? MINIMAL : { ...MINIMAL, seconds: 5 }
  const pieces = [Buffer.from(`{"items":[${JSON.stringify(first)}`)]
  for (let n = 1; n < DOCUMENT_ITEMS; n++) pieces.push(Buffer.from(','), item)
  return [...pieces, Buffer.from(']}')]
}

async function residentMiB(pid: number | undefined): Promise<number> {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kib) / 1_024
}

/** The peak memory of a process while `run` runs, beyond the memory before. */
async function growthMiB(pid: number | undefined, run: () => Promise<void>): Promise<number> {
  const before = await residentMiB(pid)
  let most = before
  let isOver = false
  const watching = (async () => {
    while (!isOver) {
      most = Math.max(most, await residentMiB(pid))
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })()
  await run().finally(() => {
    isOver = true
  })
  await watching
  return most - before
}

interface SmallApi extends Pick<TestApp, 'url' | 'key' | 'context' | 'webhookSecret'> {
  readonly databaseUrl: string
  readonly pid: number | undefined
}

/** An API in a separate process with a small heap. */
async function withApi(heapMiB: number, run: (api: SmallApi) => Promise<void>): Promise<void> {
  const database = await createDatabase()
  const app = await startTestApp({ databaseUrl: database.url })
  const api = runCommand(['start-api'], {
    ...app.environment,
    DATABASE_URL: database.url,
    NODE_OPTIONS: `--max-old-space-size=${heapMiB}`,
  })
  try {
    const address = () => /"url":"(http:[^"]+)"/.exec(api.output())?.[1]
    await until('the API has started', () => address() !== undefined, { timeoutMs: 60_000 })
    const { key, webhookSecret, context: parts } = app
    const url = address() ?? ''
    await run({ url, key, webhookSecret, context: parts, databaseUrl: database.url, pid: api.child.pid })
  } finally {
    api.child.kill('SIGTERM')
    await api.ended
    await app.close()
    await database.drop()
  }
}

async function send({ url, key }: SmallApi, body: Iterable<Buffer>, headers: OutgoingHttpHeaders): Promise<Reply> {
  const outgoing = httpRequest(`${url}/v1/batches`, {
    method: 'POST',
    agent: false,
    headers: { authorization: `Bearer ${key}`, ...headers },
  })
  // A refusal may arrive before the last byte was sent.
  outgoing.on('error', () => undefined)
  Readable.from(body).pipe(outgoing)
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) }
}

// Only Linux shows a process' memory without another program.
const onLinux = it.runIf(process.platform === 'linux')

onLinux(
  'of 200 MiB, in which one line is wrong, is refused by that line and leaves neither rows nor a larger process',
  async () => {
    await withApi(HEAP_MAX_MIB, async (api) => {
      const growth = await growthMiB(api.pid, async () => {
        const reply = await send(api, upload(), { 'content-type': 'application/x-ndjson' })
        expect(reply.status).toBe(422)
        expect(problemOf(reply)).toMatchObject({ errors: [{ line: BAD_LINE, field: 'body', rule: 'json' }], total: 1 })
      })
      expect(growth).toBeLessThan(GROWTH_MAX_MIB)
      expect(await countRows(api.databaseUrl)).toMatchObject({ generations: 0, batches: 0 })
    })
  },
  180_000,
)

onLinux(
  'of 40 MiB as a document, sixty at once, end no process of a small heap and hold up no other tenant',
  async () => {
    await withApi(DOCUMENTS_HEAP_MIB, async (api) => {
      const quiet = await clientOfNewProject(api, 'quiet')
      const [good, bad] = [documentPieces(true), documentPieces(false)]
      const type = { 'content-type': 'application/json' }
      const growth = await growthMiB(api.pid, async () => {
        let areSent = false
        const sending = Promise.all(
          Array.from({ length: DOCUMENTS }, async (_, n) => {
            const body = n % 20 === 0 ? good : bad
            const length = body.reduce((sum, piece) => sum + piece.length, 0)
            return await send(api, body, { ...type, 'content-length': length })
          }),
        ).finally(() => {
          areSent = true
        })
        const waits: number[] = []
        while (!areSent) {
          const startedAt = performance.now()
          expect((await quiet.post('/v1/generations', MINIMAL)).status).toBe(202)
          waits.push(performance.now() - startedAt)
        }
        // Far above the second allowed on an idle machine.
        expect(Math.max(...waits)).toBeLessThan(10_000)
        const replies = await sending
        for (const { status, headers } of replies) {
          expect([202, 422, 429, 503]).toContain(status)
          if (status >= 429) expect(Number(headers['retry-after'])).toBeGreaterThan(0)
        }
        expect(replies.filter(({ status }) => status === 202 || status === 422).length).toBeGreaterThan(0)
      })
      expect(growth).toBeLessThan(DOCUMENTS_GROWTH_MAX_MIB)
    })
  },
  300_000,
)
