// Log lines of a process during outages: one line names the cause, and there are few other lines. One process with
// queues in Postgres and one with Redis go through one outage after another.

import { rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { kindOfError } from '@reelqueue/shared/runtime/sparing'
import { expect, inject, it } from 'vitest'
import { clientOf } from './support/api.ts'
import { createDatabase, runSql } from './support/database.ts'
import { startRedis } from './support/redis.ts'
import { startRelay } from './support/relay.ts'
import { type Act, answer, startScriptedUpstream } from './support/scripted-upstream.ts'
import { startTestApp, type TestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const WINDOW_MS = 4_000
/**
 * Limit of the window, including the first line of each kind; further lines of a kind are logged once in ten seconds.
 */
const LINES_MAX = 40
/** Limit of one kind: the first line, and a line left from an earlier window. */
const OF_A_KIND_MAX = 2
/** One line for each request, submission and attempt: these lines are work, bounded elsewhere. */
const WORK = ['request.completed', 'submit.recorded', 'submit.retry_scheduled', 'complete.done', 'deliver.attempted']

interface Outage {
  readonly name: string
  readonly begin: () => unknown
  /** Matches the cause in a line. */
  readonly says: RegExp
  readonly end?: () => unknown
}

type Line = Record<string, unknown> & { readonly err?: unknown }

function kindOf({ event, code, part, step, queue, err }: Line): string {
  const { message, code: errorCode } = (typeof err === 'object' && err !== null ? err : { message: err }) as Line
  const error = Object.assign(new Error(String(message ?? '')), errorCode === undefined ? {} : { code: errorCode })
  return [event, code, part, step, queue, kindOfError(error)].join(' ')
}

/** Runs the outages while requests arrive, and checks the lines of each outage. */
async function liveThrough(app: TestApp, outages: readonly Outage[]): Promise<void> {
  const client = clientOf(app.url, app.key)
  const post = () => client.post('/v1/generations', { model: 'openAiSora2Plus', prompt: 'x' }).catch(() => undefined)
  for (const { name, begin, says, end } of outages) {
    const before = (await app.logLines()).length
    await begin()
    const begunAt = performance.now()
    const asking = setInterval(post, 500)
    const said = async () => (await app.logLines()).slice(before)
    try {
      await until(`${name}: the cause is named`, async () =>
        (await said()).some((line) => says.test(JSON.stringify(line))),
      )
      await until('the window is over', () => performance.now() - begunAt > WINDOW_MS)
    } finally {
      clearInterval(asking)
    }
    const lines = (await said()).filter(({ event }) => !WORK.includes(String(event)))
    const kinds = new Map<string, number>()
    for (const kind of lines.map(kindOf)) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    const often = [...kinds].filter(([, count]) => count > OF_A_KIND_MAX)
    expect(often, name).toEqual([])
    expect(lines.length, `${name}: ${[...kinds.keys()].join('\n')}`).toBeLessThan(LINES_MAX)
    await end?.()
  }
}

/** A server with the same reply to every client. */
async function startRefusing(reply: (heard: Buffer) => Buffer | string): Promise<{ port: number; server: Server }> {
  const server = createServer((socket) => {
    socket.on('data', (heard) => socket.write(reply(heard))).on('error', () => undefined)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP port')
  return { port: address.port, server }
}

/** Postgres' reply when no connection is free: FATAL, 53300. */
const TOO_MANY = () => {
  const fields = Buffer.from('SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0')
  const head = Buffer.alloc(5)
  head.write('E')
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}

const rendering: Act = (response, received) =>
  answer(200, { id: `task-${Math.random()}`, status: received.method === 'POST' ? 'pending' : 'processing' })(
    response,
    received,
  )
const refusingPolls: Act = (response, received) =>
  (received.method === 'POST' ? rendering : answer(401, { error: { message: 'invalid api key' } }))(response, received)
const behindDeadCdn: Act = (response) => {
  response.writeHead(521, { 'content-type': 'text/html' }).end('<html>521: Web server is down</html>')
}

const ENV = {
  UPSTREAM_API_KEY: 'any',
  POLL_INTERVAL_MIN_MS: '500',
  POLL_INTERVAL_MAX_MS: '1000',
  RECONCILE_INTERVAL_MS: '2000',
  LOG_LEVEL: 'info',
}

async function accept(app: TestApp, count: number, webhookOf?: (n: number) => string): Promise<void> {
  const client = clientOf(app.url, app.key)
  const fields = (n: number) => (webhookOf ? { webhook_url: webhookOf(n) } : {})
  for (let n = 0; n < count; n++) {
    const reply = await client.post('/v1/generations', { model: 'openAiSora2Plus', prompt: 'x', ...fields(n) })
    expect(reply.status, reply.text).toBe(202)
  }
}

it.concurrent('a provider and a Redis that fail in each of their ways cost few lines, one of which names the cause', async () => {
  const database = await createDatabase()
  const redis = await startRedis({ save: '3600 1' })
  const relay = await startRelay({ host: '127.0.0.1', port: Number(new URL(redis.url).port) })
  const loading = await startRefusing((heard) =>
    '-LOADING Redis is loading the dataset in memory\r\n'.repeat(
      Math.max(1, heard.toString().match(/^\*/gm)?.length ?? 1),
    ),
  )
  const upstream = await startScriptedUpstream()
  upstream.play(rendering)
  const env = { ...ENV, UPSTREAM_BASE_URL: upstream.origin }
  const redisUrl = `redis://127.0.0.1:${relay.port}`
  const app = await startTestApp({ databaseUrl: database.url, redisUrl, env, api: true, worker: true })
  try {
    await accept(app, 20)
    const processing = () => app.database.prisma.generation.count({ where: { status: 'processing' } })
    await until('they render', async () => (await processing()) === 20)
    const [, folder = ''] = (await redis.run('CONFIG GET dir')).match(/\r\n(\/[^\r]*)\r\n/) ?? []
    await liveThrough(app, [
      { name: 'polls are refused', begin: () => upstream.play(refusingPolls), says: /polls\.refused/ },
      {
        name: 'a CDN without its server',
        begin: () => upstream.play(behindDeadCdn),
        says: /polls\.unanswered.*server_error/,
      },
      { name: 'no provider', begin: () => upstream.stop(), says: /polls\.unanswered.*silence/ },
      {
        name: 'a Redis that cannot save',
        begin: async () => {
          await rm(folder, { recursive: true })
          await redis.run('BGSAVE')
        },
        says: /MISCONF/,
      },
      {
        name: 'a Redis that loads',
        begin: () => {
          relay.aim({ host: '127.0.0.1', port: loading.port })
          relay.reset()
        },
        says: /LOADING/,
      },
      { name: 'no Redis', begin: () => relay.cut(), says: /ECONNREFUSED|Stream isn't writeable|Connection is closed/ },
    ])
  } finally {
    await app.close()
    loading.server.close()
    await redis.destroy()
    await database.drop()
  }
}, 120_000)

it.concurrent('dead endpoints, and a Postgres that fails in each of its ways, cost few lines, one of which names the cause', async () => {
  const database = await createDatabase()
  const server = new URL(database.url)
  const [name, target] = [server.pathname.slice(1), { host: server.hostname, port: Number(server.port || 5432) }]
  const relay = await startRelay(target)
  const full = await startRefusing((heard) => (heard.length === 8 ? 'N' : TOO_MANY()))
  const upstream = await startScriptedUpstream()
  upstream.play(rendering)
  server.host = `127.0.0.1:${relay.port}`
  const env = { ...ENV, UPSTREAM_BASE_URL: upstream.origin }
  const app = await startTestApp({ databaseUrl: server.href, env, api: true, worker: true })
  const endSessions = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}' AND pid <> pg_backend_pid()`
  try {
    await accept(app, 20, (n) => (n % 2 === 0 ? `http://127.0.0.1:1/${n}` : `http://no-such-host-${n}.invalid/`))
    await liveThrough(app, [
      {
        name: 'dead endpoints',
        begin: () => upstream.play(answer(200, { id: 'x', status: 'failed', error: { code: 'no', message: 'no' } })),
        says: /deliver\.attempted.*(connect|dns)/,
        end: () => upstream.play(rendering),
      },
      {
        name: 'Postgres is read-only',
        begin: async () => {
          await runSql(database.url, `ALTER DATABASE ${name} SET default_transaction_read_only = on`)
          await runSql(database.url, endSessions)
        },
        says: /25006/,
        end: () => runSql(inject('postgresUrl'), `ALTER DATABASE ${name} RESET default_transaction_read_only`),
      },
      {
        name: 'Postgres takes no more connections',
        begin: () => {
          relay.aim({ host: '127.0.0.1', port: full.port })
          relay.reset()
        },
        says: /53300/,
        end: () => {
          relay.aim(target)
          relay.reset()
        },
      },
      { name: 'Postgres hangs', begin: () => relay.swallow(), says: /no answer within|[Tt]imeout|timed out/ },
      { name: 'no Postgres', begin: () => relay.cut(), says: /ECONNREFUSED|terminated/ },
    ])
  } finally {
    await relay.cut()
    await app.close()
    full.server.close()
    await upstream.stop()
    await database.drop()
  }
}, 120_000)
