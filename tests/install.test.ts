// The installation started by run.mjs: real npm on a tiny project made by the test.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { processIdentity } from '@reelqueue/shared/embedded/folder-owner'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { until } from './support/wait.ts'

const INSTALL = new URL('../bin/install.mjs', import.meta.url).href
const SCHEMA = 'model A {\n  id String\n}\n'
/** Records each run, creates the output of `prisma generate`, and waits while a file `hold` exists. */
const POSTINSTALL = `
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
appendFileSync('runs', process.pid + '\\n')
const client = 'packages/shared/src/store/generated/internal'
mkdirSync(client, { recursive: true })
while (existsSync('hold')) await new Promise((resolve) => setTimeout(resolve, 20))
writeFileSync(client + '/class.ts', '"inlineSchema": ' + JSON.stringify(readFileSync('prisma/schema.prisma', 'utf8')))
`

let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'reelqueue-install-'))
  await mkdir(join(root, 'prisma'))
  await mkdir(join(root, 'part'))
  await writeFile(join(root, 'prisma/schema.prisma'), SCHEMA)
  await writeFile(join(root, 'postinstall.mjs'), POSTINSTALL)
  await writeFile(join(root, 'part/package.json'), '{"name":"part","version":"1.0.0"}')
  await mkdir(join(root, 'tool'))
  await writeFile(join(root, 'tool/package.json'), '{"name":"tool","version":"1.0.0"}')
  const project = {
    name: 'tiny',
    version: '1.0.0',
    dependencies: { part: 'file:part' },
    devDependencies: { tool: 'file:tool' },
  }
  const scripts = { postinstall: 'node postinstall.mjs' }
  await writeFile(join(root, 'package.json'), JSON.stringify({ ...project, scripts }))
  const packages = {
    '': project,
    'node_modules/part': { resolved: 'part', link: true },
    part: { version: '1.0.0' },
    'node_modules/tool': { resolved: 'tool', link: true, dev: true },
    tool: { version: '1.0.0', dev: true },
  }
  await writeFile(
    join(root, 'package-lock.json'),
    JSON.stringify({ name: 'tiny', version: '1.0.0', lockfileVersion: 3, requires: true, packages }),
  )
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true, maxRetries: 5 })
})

/** `full`: with the development tools. */
function start(full = true) {
  const code = `import(${JSON.stringify(INSTALL)}).then(async ({ installMissing }) => {
    const failed = await installMissing(${JSON.stringify(root)}, ${full})
    if (failed) console.error(failed)
    process.exit(failed ? 1 : 0)
  })`
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, ['--eval', code], { env: { PATH, HOME }, stdio: ['ignore', 'ignore', 'pipe'] })
  let output = ''
  child.stderr.on('data', (chunk) => (output += chunk))
  return { child, output: () => output, ended: once(child, 'close').then(([code]) => code as number | null) }
}

const runs = async () => (await readFile(join(root, 'runs'), 'utf8').catch(() => '')).split('\n').filter(Boolean)
const hold = () => writeFile(join(root, 'hold'), '')
const release = () => rm(join(root, 'hold'))
const lockIsFree = () => !existsSync(join(root, '.install.lock'))

describe('installing', () => {
  it('happens once when two start at the same time', async () => {
    await hold()
    const first = start()
    await until('the first installs', async () => (await runs()).length === 1)
    const second = start()
    await until('the second waits', () => second.output().includes('is installing: waiting for it'))
    await release()
    expect([await first.ended, await second.ended], first.output() + second.output()).toEqual([0, 0])
    expect(await runs()).toHaveLength(1)
    expect(lockIsFree()).toBe(true)
  })

  it('is ended by Ctrl-C with all its processes, and the next start installs', async () => {
    await hold()
    const first = start()
    await until('it installs', async () => (await runs()).length === 1)
    // A Ctrl-C arrives from the terminal and again from npm, at any moment until the end.
    const pressing = setInterval(() => first.child.kill('SIGINT'), 1)
    const code = await first.ended.finally(() => clearInterval(pressing))
    expect(code, first.output()).toBe(130)
    expect(first.output()).toContain('SIGINT: ending')
    const [script] = await runs()
    expect(await processIdentity(Number(script))).toBeNull()
    expect(lockIsFree()).toBe(true)
    await release()
    const next = start()
    expect(await next.ended, next.output()).toBe(0)
  })

  it('of a start that was killed is waited for by the next', async () => {
    await hold()
    const first = start()
    await until('it installs', async () => (await runs()).length === 1)
    first.child.kill('SIGKILL')
    await once(first.child, 'exit')
    const next = start()
    await until('the next waits', () => next.output().includes('is installing: waiting for it'))
    await release()
    expect(await next.ended, next.output()).toBe(0)
    expect(await runs()).toHaveLength(1)
  })

  it('of what runs brings no tools of development, and says that it goes on; what needs them brings them later', async () => {
    const has = (name: string) => existsSync(join(root, 'node_modules', name))
    await hold()
    const running = start(false)
    await until('it says that it goes on', () => running.output().includes('still installing'))
    await release()
    expect(await running.ended, running.output()).toBe(0)
    expect(running.output()).toContain('npm ci --omit=dev')
    expect([has('part'), has('tool')]).toEqual([true, false])
    const developing = start()
    expect(await developing.ended, developing.output()).toBe(0)
    expect(has('tool')).toBe(true)
    expect(await start(false).ended).toBe(0)
    expect(has('tool')).toBe(true)
  })

  it('is decided by content: a newer lock file changes nothing, a package that is missing does', async () => {
    await start().ended
    const inAnHour = new Date(Date.now() + 3_600_000)
    for (const file of ['package-lock.json', 'prisma/schema.prisma']) await utimes(join(root, file), inAnHour, inAnHour)
    expect(await start().ended).toBe(0)
    expect(await runs()).toHaveLength(1)
    await rm(join(root, 'node_modules/part'))
    const repairing = start()
    expect(await repairing.ended, repairing.output()).toBe(0)
    expect(await runs()).toHaveLength(2)
    expect(existsSync(join(root, 'node_modules/part'))).toBe(true)
    await writeFile(join(root, 'prisma/schema.prisma'), SCHEMA.replace('id', 'ID'))
    expect(await start().ended).toBe(0)
    expect(await runs()).toHaveLength(3)
  })
})
