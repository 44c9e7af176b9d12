// The doctor on real servers in every known state: findings, refused starts, and accepted starts.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clockDifferenceMs } from '@reelqueue/shared/doctor/clock-finding'
import { CHECKS } from '@reelqueue/shared/doctor/finding'
import { inspectPostgres } from '@reelqueue/shared/doctor/postgres-inspection'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { startEmbeddedPostgres } from '@reelqueue/shared/embedded/embedded-postgres'
import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { openDatabase } from '@reelqueue/shared/store/database'
import { ensureProject } from '@reelqueue/shared/store/projects'
import { createSealer } from '@reelqueue/shared/webhooks/seal'
import { buildSimulator } from '@reelqueue/simulator/app'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { examine } from '../bin/doctor/examine.ts'
import { refuseWrong } from '../bin/doctor/refuse.ts'
import { runCommand } from './support/command.ts'
import { createDatabase, createEmptyDatabase, runSql, type TestDatabase } from './support/database.ts'
import { freePort, type RedisSettings, startRedis, type TestRedis } from './support/redis.ts'
import { startTransactionPooler } from './support/transaction-pooler.ts'
import { until } from './support/wait.ts'

const SECRET_KEY = Buffer.alloc(32, 7).toString('base64')

let database: TestDatabase
/** In order of creation; ended in reverse order. */
let ends: (() => unknown)[] = []

beforeAll(async () => {
  database = await createDatabase()
  // The tests' server does not wait for its disk; a healthy installation does.
  await runSql(database.url, `ALTER DATABASE ${new URL(database.url).pathname.slice(1)} SET synchronous_commit = on`)
})

afterEach(async () => {
  for (const end of ends.reverse()) await end()
  ends = []
})

afterAll(async () => {
  await database.drop()
})

type Env = Readonly<Record<string, string>>

/** The findings as `check: level`. */
async function findings(env: Env): Promise<string[]> {
  const config = loadConfig({ DATABASE_URL: database.url, SECRET_KEY, ...env })
  const { settings, ...servers } = examine(config, 500)
  const found = [...settings, ...(await Promise.all(Object.values(servers))).flat()]
  return found.flatMap(({ check, level }) => (level === 'ok' ? [] : [`${check}: ${level}`]))
}

/** The first check of a start: rejects when the start is refused. */
async function refused(env: Env): Promise<void> {
  await refuseWrong(loadConfig({ DATABASE_URL: database.url, SECRET_KEY, ...env }), createLogger('silent'))
}

/** Runs a command to the end. */
async function run(name: string, env: Env) {
  const { ended, output } = runCommand([name], { DATABASE_URL: database.url, SECRET_KEY, ...env })
  return { code: await ended, output: output() }
}

/** Starts a command, and resolves with the output once the output contains `line`. */
async function start(name: string, env: Env, line: string) {
  const command = runCommand([name], { DATABASE_URL: database.url, SECRET_KEY, ...env })
  ends.push(async () => {
    command.child.kill('SIGTERM')
    await command.ended
  })
  await until(`${name} says ${line}`, () => command.output().includes(line), { timeoutMs: 50_000 }).catch((error) => {
    throw new Error(command.output(), { cause: error })
  })
  return command
}

async function redisWith(settings: RedisSettings): Promise<TestRedis> {
  const redis = await startRedis(settings)
  ends.push(() => redis.destroy())
  return redis
}

/** A provider that answers every request with the given status, or never. */
async function provider(status: number | 'silence'): Promise<Env> {
  const server = createServer((_, reply) => {
    if (status !== 'silence') reply.writeHead(status).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  ends.push(() => server.close().closeAllConnections())
  return upstreamAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

const upstreamAt = (url: string): Env => ({ UPSTREAM_BASE_URL: url, UPSTREAM_API_KEY: 'any' })
/** An address without a listener. */
const DEAF = '127.0.0.1:1'

test('a sound installation passes every check, and the doctor ends with 0', async () => {
  const simulator = buildSimulator({ speed: 20 })
  const upstream = upstreamAt(await simulator.listen({ host: '127.0.0.1', port: 0 }))
  ends.push(() => simulator.close())
  const { url } = await redisWith({})
  const { code, output } = await run('doctor', { REDIS_URL: url, ...upstream })
  expect(code, output).toBe(0)
  const lines = output.trim().split('\n')
  expect(lines.map((line) => line.split(/ +/).slice(0, 3))).toEqual(
    Object.keys(CHECKS).map((check) => ['✓', 'ok', check]),
  )
})

describe('Redis', () => {
  test('that evicts is refused at a start with the fix, and listed by the doctor', async () => {
    const env = { REDIS_URL: (await redisWith({ 'maxmemory-policy': 'allkeys-lru' })).url }
    const outcomes = await Promise.all([run('start-worker', env), run('doctor', env)])
    for (const { code, output } of outcomes) {
      expect(code, output).toBe(1)
      expect(output).toMatch(/✗ wrong .*redis_eviction .*allkeys-lru/)
      expect(output).toContain('CONFIG SET maxmemory-policy noeviction')
    }
  })

  test('that is a replica is wrong', async () => {
    const { url } = await redisWith({ replicaof: DEAF.split(':') })
    expect(await findings({ REDIS_URL: url })).toContain('redis: wrong')
  })

  test('without persistence is a warning, with snapshots alone it is none', async () => {
    const forgetful = await redisWith({ appendonly: 'no' })
    expect(await findings({ REDIS_URL: forgetful.url })).toContain('redis_persistence: warning')
    const saving = await redisWith({ appendonly: 'no', save: '3600 1' })
    expect(await findings({ REDIS_URL: saving.url })).toEqual(['upstream: warning'])
  })

  test('that forbids CONFIG, as managed servers do, still reports its eviction policy', async () => {
    const { url } = await redisWith({
      'rename-command': ['CONFIG', 'HIDDEN'],
      appendonly: 'no',
      'maxmemory-policy': 'volatile-ttl',
    })
    expect(await findings({ REDIS_URL: url })).toEqual(['upstream: warning', 'redis_eviction: wrong'])
  })

  test('that refuses the password, or is not there, is down', async () => {
    const { url } = await redisWith({ requirepass: 'right' })
    expect(await findings({ REDIS_URL: url })).toContain('redis: down')
    expect(await findings({ REDIS_URL: url.replace('//', '//:wrong@') })).toContain('redis: down')
    expect(await findings({ REDIS_URL: url.replace('//', '//:right@') })).toEqual(['upstream: warning'])
    expect(await findings({ REDIS_URL: `redis://${DEAF}` })).toContain('redis: down')
    const { output } = await run('doctor', { REDIS_URL: url.replace('redis:', 'rediss:') })
    expect(output).toMatch(/✗ down +redis .*\n.*→ .*redis:\/\/ instead of rediss/)
  })

  test('that is a node of a Cluster of three masters, or a Sentinel, is refused by name', async () => {
    const nodes = await Promise.all([1, 2, 3].map(() => redisWith({ 'cluster-enabled': 'yes' })))
    const [first, second, third] = nodes
    if (!first || !second || !third) throw new Error('no nodes')
    const slots = ['0 5460', '5461 10922', '10923 16383']
    await Promise.all(nodes.map((node, index) => node.run(`CLUSTER ADDSLOTSRANGE ${slots[index]}`)))
    for (const node of [second, third]) await first.run(`CLUSTER MEET 127.0.0.1 ${new URL(node.url).port}`)
    await until('they know each other', async () =>
      (await Promise.all(nodes.map((node) => node.run('CLUSTER INFO')))).every((info) => /cluster_size:3/.test(info)),
    )
    const folder = await mkdtemp(join(tmpdir(), 'reelqueue-sentinel-'))
    ends.push(() => rm(folder, { recursive: true, force: true }))
    const port = await freePort()
    await writeFile(join(folder, 'sentinel.conf'), `port ${port}\nbind 127.0.0.1\ndir ${folder}\n`)
    const sentinel = spawn('redis-server', [join(folder, 'sentinel.conf'), '--sentinel'], { stdio: 'ignore' })
    ends.push(async () => {
      sentinel.kill('SIGKILL')
      if (sentinel.exitCode === null && sentinel.signalCode === null) await once(sentinel, 'exit')
    })
    await until('the Sentinel is named', async () =>
      expect(refused({ REDIS_URL: `redis://127.0.0.1:${port}` }))
        .rejects.toThrow(/Redis Sentinel.*→.*REDIS_URL/s)
        .then(
          () => true,
          () => false,
        ),
    )
    for (const { url } of nodes)
      await expect(refused({ REDIS_URL: url })).rejects.toThrow(/Cluster of 3 masters.*→.*REDIS_URL/s)
  })

  test('that lacks rights or commands is refused, and each of them is named', async () => {
    const limited = await redisWith({})
    await limited.run('ACL SETUSER default -bzpopmin -zadd -evalsha')
    const unnamed = await redisWith({ 'rename-command': ['RPOPLPUSH', 'HIDDEN'] })
    await expect(refused({ REDIS_URL: limited.url })).rejects.toThrow(
      /redis_commands.*ZADD, EVALSHA, BZPOPMIN.*ACL SETUSER.*\+zadd/s,
    )
    await expect(refused({ REDIS_URL: unnamed.url })).rejects.toThrow(/redis_commands.*RPOPLPUSH.*rename-command/s)
  })

  test('that is full is named, and prevents no start; nothing is left of what was tried', async () => {
    const full = await redisWith({ maxmemory: '1' })
    expect(await findings({ REDIS_URL: full.url })).toContain('redis_commands: down')
    await refused({ REDIS_URL: full.url })
    expect(await full.run('DBSIZE')).toContain(':0')
  })

  test('that hangs prevents no start, and is a line in the log', async () => {
    const redis = await redisWith({})
    process.kill(redis.pid, 'SIGSTOP')
    const beganAt = performance.now()
    expect(await findings({ REDIS_URL: redis.url })).toContain('redis: down')
    expect(performance.now() - beganAt).toBeLessThan(6_000)
    const api = await start('start-api', { REDIS_URL: redis.url }, 'api.started')
    const line =
      api
        .output()
        .split('\n')
        .find((text) => text.includes('"check":"redis"')) ?? '{}'
    expect(JSON.parse(line)).toMatchObject({ event: 'doctor.finding', result: 'down', fix: expect.any(String) })
  })
})

describe('Postgres', () => {
  test("without its tables, or its queues', is refused, and the message names `npm run migrate`", async () => {
    const empty = await createEmptyDatabase()
    ends.push(() => empty.drop())
    await expect(refused({ DATABASE_URL: empty.url })).rejects.toThrow(
      /_init, .*the queues' tables.*`npm run migrate`/s,
    )
    const partly = await createDatabase()
    ends.push(() => partly.drop())
    await runSql(partly.url, 'DROP SCHEMA bullmq CASCADE')
    await expect(refused({ DATABASE_URL: partly.url })).rejects.toThrow(/lacks the queues' tables.*`npm run migrate`/s)
  })

  test('that is a standby is refused', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'reelqueue-doctor-'))
    ends.push(() => rm(dataDir, { recursive: true, force: true }))
    await chmod(dataDir, 0o755)
    const primary = await startEmbeddedPostgres({ dataDir, log: () => undefined })
    await primary.stop()
    await writeFile(join(dataDir, 'postgres', 'standby.signal'), '')
    // `startEmbeddedPostgres` waits for a primary, so the standby is promoted in the end.
    const starting = startEmbeddedPostgres({ dataDir, log: () => undefined })
    const url = await until('the standby answers', async () => {
      const port = (await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[3] ?? ''
      const address = Object.assign(new URL(primary.url), { port }).href
      await runSql(address, 'SELECT 1')
      return address
    })
    ends.push(async () => {
      await runSql(url, 'SELECT pg_promote()')
      await (await starting).stop()
    })
    await expect(refused({ DATABASE_URL: url })).rejects.toThrow(/standby.*primary/s)
  })

  test('behind a pooler in transaction mode is refused', async () => {
    const pooler = await startTransactionPooler(database.url)
    ends.push(() => pooler.close())
    await expect(refused({ DATABASE_URL: pooler.url })).rejects.toThrow(
      /pooler in transaction mode.*pool_mode = session/s,
    )
  })

  test('whose last sign of a worker is of long ago is a warning that counts what waits in it', async () => {
    const restored = await createDatabase()
    ends.push(() => restored.drop())
    const dataDir = await mkdtemp(join(tmpdir(), 'reelqueue-doctor-'))
    ends.push(() => rm(dataDir, { recursive: true, force: true }))
    const find = async () => {
      const config = loadConfig({ DATABASE_URL: restored.url, SECRET_KEY, DATA_DIR: dataDir })
      return (await examine(config, 500).postgres).find(({ check }) => check === 'ledger')
    }
    expect(await find()).toMatchObject({ level: 'ok' })
    await runSql(
      restored.url,
      `INSERT INTO projects (id, name, webhook_secret) VALUES ('prj_1', 'films', 's');
      INSERT INTO generations (id, project_id, model, prompt, upstream) VALUES ('gen_1', 'prj_1', 'openAiSora2Plus', 'a fox', 'globalai');
      UPDATE ledgers SET id = gen_random_uuid(), alive_at = now() - interval '2 days', stopped_at = NULL`,
    )
    const detail = expect.stringMatching(/last sign of a worker.*; 1 generations wait/)
    expect(await find()).toMatchObject({ level: 'warning', detail, fix: expect.stringContaining('restoring.md') })
  })

  test('that would lose commits in a crash is a warning', async () => {
    const careless = await createDatabase()
    ends.push(() => careless.drop())
    await runSql(careless.url, `ALTER DATABASE ${new URL(careless.url).pathname.slice(1)} SET synchronous_commit = off`)
    const env = { DATABASE_URL: careless.url, REDIS_URL: (await redisWith({})).url }
    expect(await findings(env)).toEqual(['upstream: warning', 'postgres_durability: warning'])
  })

  test('connections of one process are added up by its settings, with those of the queues that are on Postgres', async () => {
    const needed = async (env: Env) => {
      const config = loadConfig({ DATABASE_URL: database.url, SECRET_KEY, ...env })
      const found = await examine(config, 500).postgres
      return found.find(({ check }) => check === 'postgres_connections')?.detail
    }
    const env = { DATABASE_CONNECTIONS_MAX: '30', QUEUE_CONNECTIONS_MAX: '50' }
    expect(await needed(env)).toContain('one process opens up to 80')
    expect(await needed({ ...env, REDIS_URL: `redis://${DEAF}` })).toContain('one process opens up to 30')
    expect(await needed({})).toContain('one process opens up to 22')
  })

  test('that takes no write is down, with the cause, and nothing is changed by the question', async () => {
    const full = await createDatabase()
    ends.push(() => full.drop())
    const probedAt = () => runSql(full.url, 'SELECT probed_at FROM ledgers')
    const before = await probedAt()
    const find = async () => (await examine(loadConfig({ DATABASE_URL: full.url, SECRET_KEY }), 500).postgres)[1]
    expect(await find()).toMatchObject({ check: 'postgres_writing', level: 'ok' })
    expect(await probedAt()).toEqual(before)
    await runSql(
      full.url,
      `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'voll' USING ERRCODE = '53100'; END $$;
      CREATE TRIGGER refuse BEFORE UPDATE ON ledgers FOR EACH STATEMENT EXECUTE FUNCTION refuse()`,
    )
    const detail = expect.stringContaining('The disk of Postgres is full')
    expect(await find()).toMatchObject({ check: 'postgres_writing', level: 'down', detail })
  })

  test('settings that open the door, or pause every start, are warnings', async () => {
    const env = { TRUSTED_PROXIES: '0.0.0.0/0', BOOTSTRAP_API_KEY: 'eightlet', START_PAUSED: 'true' }
    const settings = ['bootstrap_api_key: warning', 'trusted_proxies: warning', 'start_paused: warning']
    expect(await findings({ ...env, REDIS_URL: (await redisWith({})).url })).toEqual(expect.arrayContaining(settings))
  })

  test('that is read-only is wrong', async () => {
    const readOnly = await createDatabase()
    ends.push(() => readOnly.drop())
    const name = new URL(readOnly.url).pathname.slice(1)
    await runSql(readOnly.url, `ALTER DATABASE ${name} SET default_transaction_read_only = on`)
    expect(await findings({ DATABASE_URL: readOnly.url })).toContain('postgres: wrong')
  })

  test('that is not there is wrong, and its password is not printed', async () => {
    const { code, output } = await run('doctor', { DATABASE_URL: `postgresql://me:hush@${DEAF}/films` })
    expect(code).toBe(1)
    expect(output).toMatch(/✗ wrong +postgres .*127\.0\.0\.1:1\/films.*ECONNREFUSED.*DATABASE_URL/)
    expect(output).not.toContain('hush')
  })

  test('that is being migrated does not keep the doctor', async () => {
    const locked = await createDatabase()
    ends.push(() => locked.drop())
    const lock = runSql(locked.url, 'SELECT pg_advisory_lock(72707369), pg_sleep(600)').catch(() => undefined)
    await until('it is locked', async () => {
      const [row] = await runSql<{ held: boolean }>(
        locked.url,
        "SELECT count(*) > 0 AS held FROM pg_locks WHERE locktype = 'advisory' AND objid = 72707369 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
      )
      return row?.held
    })
    expect(await findings({ DATABASE_URL: locked.url, REDIS_URL: `redis://${DEAF}` })).toContain('migrations: wrong')
    await locked.drop()
    await lock
  })

  test('has a clock that can be compared with ours to a fraction of a second', async () => {
    const { clockSamples } = await inspectPostgres(database.url)
    expect(clockSamples.length).toBeGreaterThan(1)
    // Both clocks belong to this machine.
    expect(Math.abs(clockDifferenceMs(clockSamples))).toBeLessThan(1_000)
  })

  test('need not be there for the doctor when `npm start` would embed one', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'reelqueue-doctor-'))
    ends.push(() => rm(dataDir, { recursive: true, force: true }))
    const { code, output } = await run('doctor', { DATABASE_URL: '', SECRET_KEY: '', DATA_DIR: dataDir })
    expect(code, output).toBe(0)
    expect(output).toMatch(/✓ ok +postgres .*npm start/)
  })
})

test('a SECRET_KEY that sealed nothing of what is stored is refused, by name; one that sealed it is not', async () => {
  const other = await createDatabase()
  ends.push(() => other.drop())
  const opened = openDatabase(other.url, () => undefined)
  await ensureProject(opened, 'films', (id) =>
    createSealer(Buffer.from(SECRET_KEY, 'base64')).seal('whsec_x', secretPlace(id)),
  )
  await opened.close()
  const env = { DATABASE_URL: other.url, REDIS_URL: `redis://${DEAF}` }
  await refused(env)
  const another = Buffer.alloc(32, 8).toString('base64')
  const error = await refused({ ...env, SECRET_KEY: another }).catch(String)
  expect(error).toMatch(/✗ wrong +secret_key .*SECRET_KEY/)
  expect(error).not.toContain(another)
})

describe('the provider', () => {
  test('that is not there makes the doctor end with 1', async () => {
    const { code, output } = await run('doctor', {
      REDIS_URL: (await redisWith({})).url,
      ...upstreamAt(`http://${DEAF}`),
    })
    expect(code).toBe(1)
    expect(output).toMatch(/✗ down +upstream .*ECONNREFUSED/)
  })

  test('that refuses the key is a warning; what else it says of a task that is not there does not matter', async () => {
    const env = { REDIS_URL: (await redisWith({})).url }
    expect(await findings({ ...env, ...(await provider(401)) })).toEqual(['upstream: warning'])
    expect(await findings({ ...env, ...(await provider(404)) })).toEqual([])
    expect(await findings({ ...env, ...(await provider(500)) })).toEqual([])
  })

  test('that hangs prevents no start, and is a line in the log when its time is over', async () => {
    const env = { REDIS_URL: (await redisWith({})).url, ...(await provider('silence')) }
    const worker = await start('start-worker', env, '"check":"upstream"')
    await until('the worker has started', () => worker.output().includes('worker.started'))
    expect(worker.output()).toContain('"result":"down"')
  })

  test('whose key cannot be sent at all is refused', async () => {
    expect(await findings({ UPSTREAM_API_KEY: 'two words', REDIS_URL: `redis://${DEAF}` })).toContain('upstream: wrong')
  })
})

test('a proxy is named with what it is for and without its password; one that is no proxy is refused by name', async () => {
  const upstream = upstreamAt('https://provider.invalid/api')
  const [named, refused, local] = await Promise.all([
    run('doctor', { ...upstream, https_proxy: 'http://me:secret-word@127.0.0.1:1', NO_PROXY: 'localhost' }),
    run('doctor', { ...upstream, HTTPS_PROXY: 'socks5://me:secret-word@127.0.0.1:1' }),
    run('doctor', { ...upstreamAt(`http://${DEAF}`), HTTP_PROXY: 'http://127.0.0.1:1' }),
  ])
  expect(local.output).toMatch(/warning +upstream_proxy .*127\.0\.0\.1 is on this machine.*\n.*→ Set NO_PROXY/)
  expect(named.output).toContain('reached through http://127.0.0.1:1 (HTTPS_PROXY)')
  expect(named.output).toMatch(/down +upstream .*through the proxy \(PROXY_ECONNREFUSED\)/)
  expect(refused.output).toContain('  HTTPS_PROXY: must be the URL of a proxy')
  expect([named.code, refused.code]).toEqual([1, 1])
  expect(named.output + refused.output).not.toContain('secret-word')
})
