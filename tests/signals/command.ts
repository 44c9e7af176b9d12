// `npx tsx tests/signals/command.ts [COMMAND …]`: 30 signals at different moments of each command, as a table. All take half an hour.

import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '@reelqueue/shared/embedded/embedded-postgres'
import { prepareDatabase } from '@reelqueue/shared/migrate/prepare-database'
import { after, printed, signalAt } from './moment.ts'

const SIGNALS = 30
/** How often it is also tried whether a whole start works; each signal is followed by another start on the same folder anyway. */
const NEXT_EVERY = 5
/** Machines that run this are often busy. */
const NEXT_TIMEOUT_MS = 180_000
/** In turn: Ctrl-C, a process manager, a closed terminal, and Ctrl-C again after some milliseconds. */
const WAYS: readonly { readonly signal: NodeJS.Signals; readonly again?: number }[] = [
  { signal: 'SIGINT' },
  { signal: 'SIGTERM' },
  { signal: 'SIGHUP' },
  { signal: 'SIGINT', again: 20 },
  { signal: 'SIGINT', again: 300 },
]

const folder = await mkdtemp(join(tmpdir(), 'reelqueue-signals-'))
await chmod(folder, 0o755)
const postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'server'), log: () => undefined })
const server = { DATABASE_URL: postgres.url, SECRET_KEY: Buffer.alloc(32, 7).toString('base64') }
await prepareDatabase(postgres.url)

/** `spanMs` is from the start to when it runs or has ended, on a machine that is not busy; `next` is printed by a start that works. */
const CASES = [
  { name: 'demo', words: ['demo'], env: {}, spanMs: 6_000, next: 'Accepted the batch' },
  { name: 'start', words: ['start'], env: {}, spanMs: 4_000, next: 'Reelqueue answers at' },
  { name: 'start:api', words: ['start-api'], env: server, spanMs: 3_000, next: 'api.started' },
  { name: 'start:worker', words: ['start-worker'], env: server, spanMs: 3_000, next: 'worker.started' },
  {
    name: 'test',
    words: ['test', '--project', 'system', 'tests/postgres-pool.test.ts'],
    env: { TEST_POSTGRES: 'embedded' },
    spanMs: 8_000,
    next: 'passed',
  },
  { name: 'chaos', words: ['chaos', '--minutes', '1'], env: {}, spanMs: 20_000, next: null },
  { name: 'bench', words: ['bench'], env: {}, spanMs: 20_000, next: null },
]

const wanted = process.argv.slice(2)
console.log('| command | signals | ended | slowest | codes | processes left | next start |')
console.log('|---|---|---|---|---|---|---|')
for (const { name, words, env, spanMs, next } of CASES) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  const place = join(folder, name.replace(':', '-'))
  await mkdir(place)
  const codes = new Map<string, number>()
  let [ended, slowest, left, tried, fine] = [0, 0, 0, 0, 0]
  for (let n = 0; n < SIGNALS; n++) {
    const way = WAYS[n % WAYS.length] ?? { signal: 'SIGINT' }
    const one = await signalAt(words, after(Math.round((n / SIGNALS) * spanMs)), way.signal, place, env, way.again)
    if (one.how !== 'killed after the bound') ended++
    slowest = Math.max(slowest, one.tookMs)
    left += one.left.length
    codes.set(one.how, (codes.get(one.how) ?? 0) + 1)
    if (one.left.length > 0) console.error(name, n, way, one.left, one.output)
    if (next === null || n % NEXT_EVERY !== NEXT_EVERY - 1) continue
    tried++
    const start = await signalAt(words, printed(next, NEXT_TIMEOUT_MS), 'SIGTERM', place, env).catch(String)
    if (typeof start !== 'string' && start.left.length === 0) fine++
    else console.error(name, n, 'next start:', start)
  }
  const list = [...codes].map(([code, count]) => `${code} × ${count}`).join(', ')
  const starts = next === null ? '' : `${fine} of ${tried}`
  console.log(`| ${name} | ${SIGNALS} | ${ended} | ${slowest} ms | ${list} | ${left} | ${starts} |`)
}
await postgres.stop()
await rm(folder, { recursive: true, force: true })
