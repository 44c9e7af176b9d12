// `npx tsx tests/signals/command.ts`: 30 signals at different moments of each command, as a table. Takes about fifteen minutes.

import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '@reelqueue/shared/runtime/embedded-postgres'
import { prepareDatabase } from '../../bin/house.ts'
import { signalAt } from './moment.ts'

const MOMENTS = Number(process.argv[2] ?? 30)
/** Longer than a start takes on a machine that is not busy. */
const BOOT_MS = 4_000
/** How often it is also tried whether a whole start works; each signal is followed by another start on the same folder anyway. */
const NEXT_EVERY = 5

const folder = await mkdtemp(join(tmpdir(), 'reelqueue-signals-'))
await chmod(folder, 0o755)
const postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'server'), log: () => undefined })
const server = { DATABASE_URL: postgres.url, SECRET_KEY: Buffer.alloc(32, 7).toString('base64') }
await prepareDatabase(postgres.url)

const vitest = ['test', '--project', 'system', 'tests/postgres-pool.test.ts']
const CASES = [
  { name: 'demo', words: ['demo'], env: {}, ready: 'Accepted the batch' },
  { name: 'start', words: ['start'], env: {}, ready: 'Reelqueue answers at' },
  { name: 'start:api', words: ['start-api'], env: server, ready: 'api.started' },
  { name: 'start:worker', words: ['start-worker'], env: server, ready: 'worker.started' },
  { name: 'test', words: vitest, env: { TEST_POSTGRES: 'embedded' }, ready: 'passed' },
]

console.log('| command | signals | ended | slowest | codes | processes left | next start |')
console.log('|---|---|---|---|---|---|---|')
for (const { name, words, env, ready } of CASES) {
  const place = join(folder, name.replace(':', '-'))
  const codes = new Map<string, number>()
  let [ended, slowest, left, tried, fine] = [0, 0, 0, 0, 0]
  for (let n = 0; n < MOMENTS; n++) {
    const signal = n % 2 === 0 ? 'SIGINT' : 'SIGTERM'
    await mkdir(place, { recursive: true })
    const one = await signalAt(words, { afterMs: Math.round((n / MOMENTS) * BOOT_MS) }, signal, place, env)
    if (one.tookMs < 30_000) ended++
    slowest = Math.max(slowest, one.tookMs)
    left += one.left.length
    codes.set(String(one.code), (codes.get(String(one.code)) ?? 0) + 1)
    if (one.left.length > 0) console.error(name, n, one.left, one.output)
    if (n % NEXT_EVERY !== NEXT_EVERY - 1) continue
    tried++
    const next = await signalAt(words, { when: ready }, 'SIGTERM', place, env)
    if (next.output.includes(ready) && next.left.length === 0) fine++
    else console.error(name, n, 'next start:', next.output)
  }
  const list = [...codes].map(([code, count]) => `${code}×${count}`).join(' ')
  console.log(`| ${name} | ${MOMENTS} | ${ended} | ${slowest} ms | ${list} | ${left} | ${fine} of ${tried} |`)
}
await postgres.stop()
await rm(folder, { recursive: true, force: true })
