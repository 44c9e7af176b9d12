// An upload of 200 MiB is never held whole: an API whose heap is far smaller reads, checks and refuses all of it.

import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'
import { countRows, MINIMAL, problemOf } from './support/api.ts'
import { runCommand } from './support/command.ts'
import { createDatabase } from './support/database.ts'
import { startHouse } from './support/house.ts'
import { until } from './support/wait.ts'

const LINES = 50_000
const BAD_LINE = 9_001
/** Of each line: all of them together are a little less than 200 MiB. */
const LINE_BYTES = 4_150
/** More than this, and the process would die. */
const HEAP_MAX_MIB = 256
const GROWTH_MAX_MIB = 300

function* upload(): Generator<Buffer> {
  const metadata = { text: 'x'.repeat(LINE_BYTES - JSON.stringify({ ...MINIMAL, metadata: { text: '' } }).length - 1) }
  const good = Buffer.from(`${JSON.stringify({ ...MINIMAL, metadata })}\n`)
  const bad = Buffer.from(`${JSON.stringify({ ...MINIMAL, metadata }).replace('}', ']')}\n`)
  for (let line = 1; line <= LINES; line++) yield line === BAD_LINE ? bad : good
}

async function residentMiB(pid: number | undefined): Promise<number> {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kib) / 1_024
}

// Only Linux tells what a process holds without a further program.
it.runIf(process.platform === 'linux')(
  'of 200 MiB, in which one line is wrong, is refused by that line and leaves neither rows nor a larger process',
  async () => {
    const database = await createDatabase()
    const house = await startHouse({ databaseUrl: database.url })
    const api = runCommand(['start-api'], {
      ...house.environment,
      DATABASE_URL: database.url,
      NODE_OPTIONS: `--max-old-space-size=${HEAP_MAX_MIB}`,
    })
    try {
      const address = () => /"url":"(http:[^"]+)"/.exec(api.output())?.[1]
      await until('the API has started', () => address() !== undefined, { timeoutMs: 60_000 })
      const before = await residentMiB(api.child.pid)
      let most = before
      let isOver = false
      const watching = (async () => {
        while (!isOver) {
          most = Math.max(most, await residentMiB(api.child.pid))
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      })()
      const outgoing = httpRequest(`${address()}/v1/batches`, {
        method: 'POST',
        agent: false,
        headers: { authorization: `Bearer ${house.key}`, 'content-type': 'application/x-ndjson' },
      })
      Readable.from(upload()).pipe(outgoing)
      const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
      const reply = { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) }
      isOver = true
      await watching
      expect(reply.status).toBe(422)
      expect(problemOf(reply)).toMatchObject({ errors: [{ line: BAD_LINE, field: 'body', rule: 'json' }], total: 1 })
      expect(most - before).toBeLessThan(GROWTH_MAX_MIB)
      expect(await countRows(database.url)).toMatchObject({ generations: 0, batches: 0 })
    } finally {
      api.child.kill('SIGTERM')
      await api.ended
      await house.close()
      await database.drop()
    }
  },
  180_000,
)
