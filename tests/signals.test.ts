// A signal at any moment of a start ends the command and leaves nothing running; the next start works.

import { once } from 'node:events'
import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Moment, madeFile, printed, signalAt } from './signals/moment.ts'
import { until } from './support/wait.ts'

const SECRET_KEY = Buffer.alloc(32, 7).toString('base64')
const HOLD = fileURLToPath(new URL('signals/hold-loading.mjs', import.meta.url))

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reelqueue-signals-'))
  await chmod(folder, 0o755)
})

afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

describe.runIf(process.platform === 'linux')('a signal', { timeout: 180_000 }, () => {
  it.each([
    ['start', 'SIGINT', 130],
    ['start-worker', 'SIGTERM', 143],
    ['simulator', 'SIGHUP', 129],
  ] as const)(
    'while `%s` is being loaded ends it by %s with the code of the signal',
    async (name, signal, expected) => {
      const env = { HOLD_LOADING: `/${name}.mjs`, NODE_OPTIONS: `--import=${HOLD}` }
      const { code, left, output } = await signalAt([name], printed('holding'), signal, folder, env)
      expect([code, left], output).toEqual([expected, []])
    },
  )

  it.each([
    ['demo', madeFile('demo/postgres/postmaster.pid')],
    ['demo', printed('Starting the simulated provider')],
    ['start', madeFile('postgres.owner')],
    ['start', madeFile('postgres.url')],
    ['start', printed('api.started')],
  ] as const)('while `%s` boots ends it, and Postgres too', async (name, moment) => {
    const { code, left, output } = await signalAt([name], moment, 'SIGTERM', folder, {})
    expect([code, left], output).toEqual([143, []])
  })

  it('while `start` prepares its database lets the next start work, which ends in good order by SIGHUP', async () => {
    await signalAt(['start'], madeFile('postgres.url'), 'SIGTERM', folder, {})
    const next = await signalAt(['start'], printed('Reelqueue answers at'), 'SIGHUP', folder, {})
    expect([next.code, next.left], next.output).toEqual([0, []])
  })

  it.each([
    ['SIGHUP', 129],
    ['SIGTERM', 143],
  ] as const)('while `test` runs its embedded server ends both by %s', async (signal, expected) => {
    const words = ['test', '--project', 'system', 'tests/postgres-pool.test.ts']
    const runs: Moment = () =>
      until('its Postgres runs', async () => {
        const [own = ''] = (await readdir(folder)).filter((name) => name.startsWith('reelqueue-test-'))
        return await stat(join(folder, own, 'postgres', 'postmaster.pid'))
      })
    const { code, left, output } = await signalAt(words, runs, signal, folder, { TEST_POSTGRES: 'embedded' })
    expect([code, left], output).toEqual([expected, []])
  })

  it('that comes twice for one Ctrl-C, from the terminal and from npm, lets a command end in good order', async () => {
    const { code, left, output } = await signalAt(['demo'], printed('Accepted the batch'), 'SIGINT', folder, {}, 10)
    expect(output).not.toContain('Stopped at once')
    expect([code, left], output).toEqual([0, []])
  })

  it.each(['start-api', 'start-worker'])(
    'while `%s` waits for a Postgres that does not answer ends it',
    async (name) => {
      const sockets: Socket[] = []
      const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1')
      await once(silent, 'listening')
      const url = `postgresql://anyone@127.0.0.1:${(silent.address() as AddressInfo).port}/anything`
      const asked = () => until('it asks Postgres', () => sockets.length > 0)
      const { code, output } = await signalAt([name], asked, 'SIGTERM', folder, { DATABASE_URL: url, SECRET_KEY })
      expect(code, output).toBe(143)
      for (const socket of sockets) socket.destroy()
      silent.close()
    },
  )
})
