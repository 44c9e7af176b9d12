// The build of an installation: a copy of the sources in a folder with spaces in its name, with links to the libraries of this repository.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { currentBundle } from '../bin/built.mjs'

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url))

let scratch: string
let root: string

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'reelqueue-build-'))
  root = join(scratch, 'an installation')
  await mkdir(join(root, 'node_modules', '@reelqueue'), { recursive: true })
  const copied = ['bin', 'apps', 'packages', 'prisma', 'package.json', 'package-lock.json', 'tsconfig.json']
  const filter = (path: string) => !/node_modules|\.turbo/.test(relative(REPOSITORY, path))
  for (const name of copied) await cp(join(REPOSITORY, name), join(root, name), { recursive: true, filter })
  const libraries = (await readdir(join(REPOSITORY, 'node_modules'))).filter((name) => name !== '@reelqueue')
  for (const name of libraries) await symlink(join(REPOSITORY, 'node_modules', name), join(root, 'node_modules', name))
  for (const workspace of ['apps/api', 'apps/worker', 'apps/simulator', 'packages/contract', 'packages/shared']) {
    await symlink(join(root, workspace), join(root, 'node_modules/@reelqueue', workspace.split('/')[1] ?? ''))
    const own = join(REPOSITORY, workspace, 'node_modules')
    if (existsSync(own)) await symlink(own, join(root, workspace, 'node_modules'))
  }
})

afterAll(() => rm(scratch, { recursive: true, force: true }))

/** Runs a command of the copy. */
async function run(...words: string[]): Promise<{ code: number; output: string }> {
  const { PATH = '', HOME = '' } = process.env
  const env = { PATH, HOME, REELQUEUE_INSTALL: 'never' }
  const child = spawn(process.execPath, [join(root, 'bin/run.mjs'), ...words], { env, cwd: scratch })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const [code] = await once(child, 'close')
  return { code, output }
}

async function build(): Promise<string> {
  const { code, output } = await run('build')
  expect(code, output).toBe(0)
  const [stamp, ...others] = readdirSync(join(root, 'dist'))
  expect(others).toEqual([])
  return join(root, 'dist', stamp ?? '')
}

/** Runs the check with a changed file, and then restores the file. */
async function changed<Result>(path: string, more: string, check: () => Result | Promise<Result>): Promise<Result> {
  const contents = readFileSync(join(root, path))
  appendFileSync(join(root, path), more)
  try {
    return await check()
  } finally {
    writeFileSync(join(root, path), contents)
  }
}

const sourcesOf = (folder: string): string[] => JSON.parse(readFileSync(join(folder, 'sources.json'), 'utf8'))

describe('a build', () => {
  it('is not needed: without a build a command runs its sources', async () => {
    expect(existsSync(join(root, 'dist'))).toBe(false)
    const { code, output } = await run('migrate')
    expect(code).toBe(1)
    expect(output).toContain('DATABASE_URL')
  })

  it('runs until a source changes, and again when the source is what it was', async () => {
    const folder = await build()
    const bundle = join(folder, 'migrate.mjs')
    writeFileSync(bundle, `console.log('from the bundle')\n${readFileSync(bundle, 'utf8')}`)
    expect((await run('migrate')).output).toContain('from the bundle')
    const deep = 'packages/shared/src/runtime/config.ts'
    const { output } = await changed(deep, "console.log('from the sources')\n", () => run('migrate'))
    expect(output).toContain('from the sources')
    expect(output).not.toContain('from the bundle')
    expect((await run('migrate')).output).toContain('from the bundle')
    const other = await changed(deep, '// Another build.\n', build)
    expect(other).not.toBe(folder)
    expect(currentBundle(root, 'migrate')).toBe(null)
  })

  it('knows each file that it was made from', async () => {
    const folder = await build()
    const sources = sourcesOf(folder)
    const bundled = readdirSync(folder)
      .filter((name) => name.endsWith('.map'))
      .flatMap((name): string[] => JSON.parse(readFileSync(join(folder, name), 'utf8')).sources)
      .map((path) => relative(root, resolve(folder, path)))
    expect(bundled.length).toBeGreaterThan(200)
    expect(bundled.filter((path) => !sources.includes(path))).toEqual([])
    const settings = ['tsconfig.json', 'package-lock.json', 'packages/shared/package.json', 'apps/api/tsconfig.json']
    for (const path of [...settings, 'bin/bundle.ts', ...sources.filter((_, index) => index % 25 === 0)]) {
      expect(await changed(path, '\n', () => currentBundle(root, 'start')), path).toBe(null)
    }
    expect(currentBundle(root, 'start')).toBe(join(folder, 'start.mjs'))
  })

  it('is not run when one of its sources has gone, when a part of it is missing, or when its folder has another name', async () => {
    const folder = await build()
    const source = join(root, sourcesOf(folder).at(-1) ?? '')
    const renamed: [string, string][] = [
      [source, `${source}.gone`],
      [join(folder, 'sources.json'), join(folder, 'gone.json')],
      [join(folder, 'start.mjs'), join(folder, 'gone.mjs')],
      [folder, join(dirname(folder), '0'.repeat(32))],
    ]
    for (const [from, to] of renamed) {
      renameSync(from, to)
      expect(currentBundle(root, 'start'), from).toBe(null)
      renameSync(to, from)
    }
    expect(currentBundle(root, 'start')).toBe(join(folder, 'start.mjs'))
  })

  it('replaces the build before', async () => {
    const folder = await build()
    await changed('bin/keys.ts', '// Changed.\n', async () => expect(await build()).not.toBe(folder))
    expect(existsSync(folder)).toBe(false)
  })

  it('leaves in an error the lines of the sources', async () => {
    const path = 'apps/simulator/src/app.ts'
    const line = readFileSync(join(root, path), 'utf8').split('\n').length
    await changed(path, "throw new Error('a bug')\n", async () => {
      await build()
      expect(currentBundle(root, 'simulator')).not.toBe(null)
      expect((await run('simulator')).output).toContain(`an installation/${path}:${line}`)
    })
  })
})
