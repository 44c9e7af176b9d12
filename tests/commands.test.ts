// The commands as a user runs them: real processes, output, exit codes, and leftovers.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ITEMS } from '../bin/demo/prompts.ts'
import { type RunningCommand, runCommand } from './support/command.ts'
import { createDatabase, createEmptyDatabase, runSql } from './support/database.ts'
import { until } from './support/wait.ts'

const SECRET_KEY = Buffer.alloc(32, 7).toString('base64')

let dataDir: string

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'reelqueue-command-'))
  await chmod(dataDir, 0o755)
})

afterEach(async () => {
  await rm(dataDir, { recursive: true, force: true })
})

function command(words: readonly string[], env: Readonly<Record<string, string>>): RunningCommand {
  return runCommand(words, { DATA_DIR: dataDir, SIMULATOR_PORT: '0', ...env })
}

/** Whether the embedded Postgres in this test's folder still runs. */
async function postgresRuns(folder: string): Promise<boolean> {
  try {
    const pid = Number((await readFile(join(folder, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0])
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('demo', () => {
  it('completes its batch, shows every video and verified webhook, and leaves nothing running', async () => {
    // No proxy listens there: local servers must be reached without a proxy.
    const proxies = { HTTP_PROXY: 'http://127.0.0.1:1', HTTPS_PROXY: 'http://127.0.0.1:1', NODE_USE_ENV_PROXY: '1' }
    // Node 20 has no proxy support, so the test reads the NO_PROXY that the command sets at its end.
    const tell = 'process.on(`exit`,()=>console.log(`NO_PROXY=`+process.env.NO_PROXY))'
    const options = { NODE_OPTIONS: `--import=data:text/javascript,${tell}` }
    const demo = command(['demo', '--once'], { ...proxies, ...options, NO_PROXY: 'intranet.example' })
    const code = await demo.ended
    expect(code, demo.output()).toBe(0)
    const lines = demo.output()
    expect(lines).toContain('NO_PROXY=intranet.example,localhost,127.0.0.1,::1')
    expect(lines.match(/http:\S+\.mp4/g)).toHaveLength(ITEMS.length)
    expect(new Set(lines.match(/webhook evt_\w+ verified/g)).size).toBe(ITEMS.length)
    expect(lines).toContain(
      `${ITEMS.length} of ${ITEMS.length} completed, ${ITEMS.length + 1} webhooks verified, 0 refused.`,
    )
    expect(await postgresRuns(join(dataDir, 'demo'))).toBe(false)
    const log = await readFile(join(dataDir, 'demo', 'demo.log'), 'utf8')
    for (const { prompt } of ITEMS) expect(log).not.toContain(prompt)
    expect(log).not.toMatch(/whsec_|\brq_/)
  })

  it('takes free ports where the usual ones are taken, and stops cleanly on Ctrl-C in the middle', async () => {
    const others = [3000, 4010].map((port) => createServer().listen(port, '127.0.0.1'))
    // If another process already has the port, the port is taken too.
    await Promise.all(others.map((other) => once(other, 'listening').catch(() => undefined)))
    const demo = command(['demo'], { PORT: '', SIMULATOR_PORT: '' })
    await until('the batch is accepted', async () => demo.output().includes('Accepted the batch') || null)
    for (const port of [3000, 4010]) expect(demo.output()).toContain(`Port ${port} is taken by another program`)
    demo.child.kill('SIGINT')
    expect(await demo.ended, demo.output()).toBe(0)
    for (const other of others) other.close()
    expect(await postgresRuns(join(dataDir, 'demo'))).toBe(false)
  })

  it('says for all ports at once which variable to set when one that was asked for is taken, and starts nothing', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const port = String((other.address() as AddressInfo).port)
    const demo = command(['demo', '--once'], { PORT: port, SIMULATOR_PORT: port })
    expect(await demo.ended).toBe(1)
    expect(demo.output()).toMatch(
      new RegExp(`Port ${port} .* taken.* set PORT.*Port ${port} .* set SIMULATOR_PORT`, 's'),
    )
    expect(await readdir(dataDir)).toEqual([])
    other.close()
  })

  it('says what to do about a folder that is no database', async () => {
    await writeFile(join(dataDir, 'demo'), 'not a folder')
    const demo = command(['demo', '--once'], {})
    expect(await demo.ended).toBe(1)
    expect(demo.output()).toContain('DATA_DIR')
  })
})

describe('start', () => {
  it('prints a key once, answers, and stops on SIGTERM without leaving Postgres behind', async () => {
    const first = command(['start'], { LOG_LEVEL: 'silent' })
    await until('it answers', async () => first.output().includes('Reelqueue answers at') || null)
    const [, key] = /API key: +(rq_\S+)/.exec(first.output()) ?? []
    const [, url] = /answers at (\S+)/.exec(first.output()) ?? []
    const reply = await fetch(`${url}/v1/generations`, { headers: { authorization: `Bearer ${key}` } })
    expect(reply.status).toBe(200)
    const [, password] = /operator password: +(\S+)/.exec(first.output()) ?? []
    const login = { authorization: `Basic ${btoa(`anyone:${password}`)}` }
    expect((await fetch(`${url}/admin/queues`)).status).toBe(401)
    expect((await fetch(`${url}/admin/queues`, { headers: login })).status).toBe(200)
    first.child.kill('SIGTERM')
    expect(await first.ended, first.output()).toBe(0)
    expect(await postgresRuns(dataDir)).toBe(false)

    const second = command(['start'], { LOG_LEVEL: 'silent' })
    await until('it answers again', async () => second.output().includes('Reelqueue answers at') || null)
    expect(second.output()).not.toContain('rq_')
    expect(second.output()).not.toContain('password')
    second.child.kill('SIGTERM')
    expect(await second.ended).toBe(0)
  })

  it('makes nothing up, and prints no key, until its port is its own', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const PORT = String((other.address() as AddressInfo).port)
    const database = await createDatabase()
    const env = { DATABASE_URL: database.url, SECRET_KEY }
    const refused = [command(['start'], { PORT }), command(['start-api'], { ...env, PORT })]
    for (const one of refused) {
      expect(await one.ended, one.output()).toBe(1)
      expect(one.output()).toMatch(/Port \d+ .* taken.* set PORT/)
      expect(one.output()).not.toContain('rq_')
    }
    other.close()
    expect(await readdir(dataDir)).toEqual([])
    expect(await runSql(database.url, 'SELECT id FROM projects')).toEqual([])
    const api = command(['start-api'], env)
    await until('it prints a key', () => /API key: +rq_\S+/.test(api.output()))
    api.child.kill('SIGTERM')
    await api.ended
    await database.drop()
  })

  it.each([
    ['start', { PORT: 'abc', UPSTREAM_TIMEOUT_MS: '5' }, ['PORT', 'UPSTREAM_TIMEOUT_MS']],
    ['start-api', {}, ['DATABASE_URL']],
    ['start-worker', {}, ['DATABASE_URL']],
    ['migrate', {}, ['DATABASE_URL']],
  ])('%s with %j names every variable that is wrong', async (name, env, variables) => {
    const started = command([name], env)
    expect(await started.ended).toBe(1)
    for (const variable of variables) expect(started.output()).toContain(variable)
  })

  it('refuses while migrations are pending, and runs after `migrate`', async () => {
    const database = await createEmptyDatabase()
    const env = { DATABASE_URL: database.url, SECRET_KEY, LOG_LEVEL: 'info' }
    const refused = command(['start-worker'], env)
    expect(await refused.ended).toBe(1)
    expect(refused.output()).toContain('npm run migrate')
    const migrated = command(['migrate'], env)
    expect(await migrated.ended, migrated.output()).toBe(0)
    const worker = command(['start-worker'], env)
    await until('the worker has started', async () => worker.output().includes('worker.started') || null)
    worker.child.kill('SIGTERM')
    expect(await worker.ended, worker.output()).toBe(0)
    await database.drop()
  })
})

describe('words', () => {
  const NAMES = [
    'demo',
    'start',
    'start-api',
    'start-worker',
    'simulator',
    'migrate',
    'keys',
    'operators',
    'doctor',
    'build',
    'test',
    'check',
  ]
  const ALL = [...NAMES, 'chaos', 'bench', 'migration', 'docs']
  const run = (script: string, words: readonly string[]) => {
    const child = spawn(process.execPath, [script, ...words], {
      env: { PATH: '/nowhere' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
    return once(child, 'close').then(([code]) => ({ code, output }))
  }

  it('`--help` tells the usage of each command where nothing is installed, and installs nothing', async () => {
    const bin = join(dataDir, 'bin')
    await mkdir(bin)
    for (const name of ['run.mjs', 'built.mjs', 'install.mjs', 'environment.mjs', 'usage.mjs']) {
      await copyFile(fileURLToPath(new URL(`../bin/${name}`, import.meta.url)), join(bin, name))
    }
    const asked = [...ALL.map((name) => [name, '--help']), ['keys', 'create', '-h']]
    const told = await Promise.all(asked.map((words) => run(join(bin, 'run.mjs'), words)))
    for (const [index, { code, output }] of told.entries()) {
      expect(output).toContain(`Usage: npm run ${asked[index]?.[0]?.replace('start-', 'start:')}`)
      expect(code).toBe(0)
    }
    const { code, output } = await run(join(bin, 'run.mjs'), ['--help'])
    expect([code, output.match(/npm run/g)?.length]).toEqual([0, ALL.length])
    expect(await readdir(dataDir)).toEqual(['bin'])
  })

  it('what a command does not know is refused in one sentence, with its usage', async () => {
    const script = fileURLToPath(new URL('../bin/run.mjs', import.meta.url))
    const cases = [
      [['demo', '--twice'], "Unknown option '--twice'."],
      [['start', '--prot', '1'], "Unknown option '--prot'."],
      [['start-worker', 'now'], 'npm run start:worker takes no word "now".'],
      [['simulator', '--speed'], "Option '--speed <value>' argument missing."],
      [['keys', 'revoke', 'key_1', 'key_2'], 'npm run keys takes no word "key_2".'],
      [['operators', 'create', 'mona', '--rolle', 'viewer'], "Unknown option '--rolle'."],
      [['operators', 'disable', 'mona', 'lisa'], 'npm run operators takes no word "lisa".'],
      [['migrate', '-x'], "Unknown option '-x'."],
      [['sturt'], 'There is no command "sturt".'],
    ] as const
    const refused = await Promise.all(cases.map(([words]) => run(script, words)))
    for (const [index, { code, output }] of refused.entries()) {
      expect(output.split('\n')[0]).toBe(cases[index]?.[1])
      expect(output).toMatch(/Usage|Commands/)
      expect(code).toBe(2)
    }
  })
})

describe('the environment', () => {
  it('decides neither where a command connects nor whether it can be compiled', async () => {
    const database = await createEmptyDatabase()
    const odd = {
      PGHOST: '192.0.2.1',
      PGPORT: '1',
      PGSSLMODE: 'require',
      PGOPTIONS: '-c statement_timeout=1',
      PGSERVICE: 'x',
    }
    const migrated = command(['migrate'], { DATABASE_URL: database.url, ...odd, TMPDIR: '/dev/null/nowhere' })
    expect(await migrated.ended, migrated.output()).toBe(0)
    expect(migrated.output()).toContain('TMPDIR names /dev/null/nowhere')
    await database.drop()
  })
})

describe('npm', () => {
  it('leaves nothing behind when a process manager stops it rather than us', async () => {
    const { PATH = '', HOME = '' } = process.env
    const npm = spawn('npm', ['run', '--silent', 'simulator'], {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      env: { PATH, HOME, SIMULATOR_PORT: '0', REELQUEUE_INSTALL: 'never' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    npm.stdout.on('data', (chunk) => (output += chunk))
    const url = await until('it answers', () => /answers at (http:\S+):? /.exec(output)?.[1])
    npm.kill('SIGTERM')
    await until('nobody answers any more', async () => {
      const reply = await fetch(`${url}/control/stats`).catch(() => null)
      return reply === null
    })
  })
})

describe('keys', () => {
  it('creates, lists and revokes', async () => {
    const database = await createDatabase()
    const env = { DATABASE_URL: database.url, SECRET_KEY }
    const created = command(['keys', 'create', '--name', 'laptop'], env)
    expect(await created.ended, created.output()).toBe(0)
    const [key = ''] = /\brq_\S+/.exec(created.output()) ?? []
    const listed = command(['keys', 'list'], env)
    await listed.ended
    expect(listed.output()).toContain('laptop')
    expect(listed.output()).not.toContain(key)
    const [id = ''] = /key_\w+/.exec(listed.output()) ?? []
    const revoked = command(['keys', 'revoke', id], env)
    expect(await revoked.ended, revoked.output()).toBe(0)
    const again = command(['keys', 'revoke', id], env)
    expect(await again.ended).toBe(1)
    await database.drop()
  })

  it('makes a new password of the operator, and keeps no more than its hash', async () => {
    const database = await createDatabase()
    const changed = command(['keys', 'operator-password'], { DATABASE_URL: database.url, SECRET_KEY })
    expect(await changed.ended, changed.output()).toBe(0)
    const password = changed.output().trim().split('\n').at(-1) ?? ''
    const [row] = await runSql<{ hash: string }>(database.url, 'SELECT hash FROM operator_passwords')
    expect(row?.hash).toBe(createHash('sha256').update(password).digest('hex'))
    await database.drop()
  })
})

describe('operators', () => {
  it('adds one with a password that is shown once, lists and disables', async () => {
    const database = await createDatabase()
    const env = { DATABASE_URL: database.url, SECRET_KEY }
    const created = command(['operators', 'create', 'mona', '--role', 'operator'], env)
    expect(await created.ended, created.output()).toBe(0)
    const password = created.output().trim().split('\n').at(-1) ?? ''
    expect(password).toMatch(/^[\w-]{24}$/)
    const [row] = await runSql<{ hash: string }>(database.url, 'SELECT password_hash AS hash FROM operators')
    expect(row?.hash).toMatch(/^scrypt\$/)
    const listed = command(['operators', 'list'], env)
    const refused = [
      command(['operators', 'create', 'MONA'], env),
      command(['operators', 'create', 'lisa', '--role', 'member'], env),
      command(['operators', 'create', 'lisa', '--password-stdin'], env),
      command(['operators', 'disable', 'lisa'], env),
    ]
    await listed.ended
    expect(listed.output()).toMatch(/op_\w+.*mona.*operator/)
    expect(listed.output()).not.toContain(password)
    for (const one of refused) expect(await one.ended, one.output()).toBe(1)
    const disabled = command(['operators', 'disable', 'Mona'], env)
    expect(await disabled.ended, disabled.output()).toBe(0)
    const audit = await runSql(database.url, 'SELECT action, via FROM audit_entries ORDER BY id')
    expect(audit).toEqual([
      { action: 'createOperator', via: 'command' },
      { action: 'changeOperator', via: 'command' },
    ])
    await database.drop()
  })
})
