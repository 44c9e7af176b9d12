// The documents against the code. If a generated document is out of date: `npm run docs`.
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ROUTES } from '@reelqueue/contract/routes'
import { FAILURES } from '@reelqueue/contract/terms/failure'
import { PROBLEMS } from '@reelqueue/contract/terms/problem'
import { VARIABLES } from '@reelqueue/shared/runtime/config'
import { LOG_EVENTS } from '@reelqueue/shared/runtime/log-events/catalogue'
import type { LogEvent } from '@reelqueue/shared/runtime/log-events/event'
import { LOG_FIELDS } from '@reelqueue/shared/runtime/log-events/fields'
import { describe, expect, test } from 'vitest'
import { renderDocuments } from '../bin/docs/documents.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFile(join(ROOT, path), 'utf8')

describe('the generated documents', async () => {
  const documents = await renderDocuments()

  test.for(Object.entries(documents))('%s is what the code says now', async ([path, text]) => {
    expect(await read(path)).toBe(text)
  })

  test('name every problem and failure, and every variable', async () => {
    const problems = await read('docs/problems.md')
    const codes = [...Object.keys(PROBLEMS), ...Object.keys(FAILURES)]
    expect(codes.filter((code) => !problems.includes(`| \`${code}\` `))).toEqual([])
    const [configuration, example] = await Promise.all([read('docs/configuration.md'), read('.env.example')])
    const undescribed = Object.keys(VARIABLES).filter(
      (name) => !configuration.includes(`| \`${name}\` `) || !example.includes(`\n#${name}=`),
    )
    expect(undescribed).toEqual([])
  })

  test('name every route of the table, and every route that a source registers beside the table', async () => {
    const page = await read('docs/http-api.md')
    const files = (await filesBelow('apps/api/src', '.ts')).filter((path) => !path.endsWith('.test.ts'))
    const sources = await Promise.all(files.map(read))
    const registered = sources.flatMap((source) =>
      [...source.matchAll(/\.(get|post|put|patch|delete)\(\s*'(\/[^']*)'/g)].map(([, method = '', path = '']) => ({
        method,
        path,
      })),
    )
    const routes = [...Object.values(ROUTES), ...registered].map(({ method, path }) => {
      return { method: method.toUpperCase(), path: path.replaceAll(/:(\w+)/g, '{$1}') }
    })
    expect(routes).toContainEqual({ method: 'POST', path: '/v1/generations' })
    expect(routes).toContainEqual({ method: 'GET', path: '/openapi.json' })
    const missing = routes.filter(
      ({ method, path }) => !page.includes(`\`${method} ${path}\``) && !page.includes(`\`${path}\``),
    )
    expect(missing).toEqual([])
  })
})

describe('the events of the log', async () => {
  const files = (
    await Promise.all(
      ['apps/api/src', 'apps/worker/src', 'packages/shared/src', 'bin'].map((folder) => filesBelow(folder, '.ts')),
    )
  ).flat()
  const sources = await Promise.all(files.filter((path) => !/\.test\.ts$|\/log-events\//.test(path)).map(read))

  test('are each logged by a source, with each field of the catalogue in use', () => {
    const events: [string, LogEvent][] = Object.entries(LOG_EVENTS)
    expect(events.length).toBeGreaterThan(50)
    expect(
      events.map(([name]) => name).filter((name) => !sources.some((source) => source.includes(`'${name}'`))),
    ).toEqual([])
    const listed = new Set(events.flatMap(([, { fields }]) => fields.map((field) => field.replace('?', ''))))
    expect(Object.keys(LOG_FIELDS).filter((field) => !listed.has(field))).toEqual([])
  })

  test('are written through the type of the catalogue, not through the logger of Fastify or pino', () => {
    const untyped = /(request|reply|fastify|app)\.log\.(error|warn|info|debug)\(|\.pino\.\w+\(/
    expect(sources.filter((source) => untyped.test(source))).toEqual([])
  })
})

test('Docker Compose passes every variable on, but for those of the embedded Postgres and of the simulator', async () => {
  const compose = await read('docker-compose.yml')
  const left = Object.keys(VARIABLES).filter((name) => !compose.includes(`\n    ${name}:`))
  expect(left).toEqual(['DATA_DIR', 'SIMULATOR_PORT'])
})

test('Docker Compose lets no container write outside of its volumes or become more than it is, and knows no password', async () => {
  const compose = await read('docker-compose.yml')
  const [, parts = ''] = compose.split('\nservices:\n')
  const services = parts.split(/^ {2}(?=\w+:$)/m).slice(1)
  const hardenedOnes = services.filter((service) => /^ {4}<<: \*(hardened|reelqueue)$/m.test(service))
  expect(services.length).toBeGreaterThan(5)
  expect(hardenedOnes).toHaveLength(services.filter((service) => /^ {4}(image|<<):/m.test(service)).length)
  for (const said of ['read_only: true', 'cap_drop: [ALL]', 'security_opt: [no-new-privileges:true]', '<<: *hardened'])
    expect(compose.split('\nservices:')[0]).toContain(said)
  expect(compose).not.toMatch(/PASSWORD: \w|requirepass \w|cap_add|privileged: true/)
})

test('docs/scale.md says which query each index serves', async () => {
  const scripts = await Promise.all((await filesBelow('prisma/migrations', '.sql')).map(read))
  const indexes = new Set<string>()
  for (const [, what, name = ''] of scripts.join('\n').matchAll(/^(CREATE|DROP) (?:UNIQUE )?INDEX "(\w+)"/gm)) {
    if (what === 'CREATE') indexes.add(name)
    else indexes.delete(name)
  }
  expect(indexes).toContain('generations_backlog_idx')
  const scale = await read('docs/scale.md')
  expect([...indexes].filter((name) => !scale.includes(`\`${name}\``))).toEqual([])
})

test('every file of the walk in ARCHITECTURE.md is there', async () => {
  const [, walk = ''] = /## The walk of one generation\n([\s\S]*?)\n## /.exec(await read('ARCHITECTURE.md')) ?? []
  const named = [...walk.matchAll(/`([\w/-]+\.ts)`/g)].map(([, name = '']) => name)
  const sources = (await Promise.all(['apps', 'packages'].map((folder) => filesBelow(folder, '.ts')))).flat()
  expect(named.length).toBeGreaterThan(25)
  const tail = (name: string) => `/${name.replace(/^(worker|api|contract)\/(src\/)?/, '')}`
  expect(named.filter((name) => !sources.some((path) => path.endsWith(tail(name))))).toEqual([])
})

test('every test that docs/guarantees.md names is there', async () => {
  const missing: string[] = []
  let source = ''
  let named = 0
  for (const line of (await read('docs/guarantees.md')).split('\n')) {
    const [, file] = /^- `([^`]+\.test\.ts)`$/.exec(line) ?? []
    const [, title] = /^ {2}- (.+)$/.exec(line) ?? []
    if (file !== undefined) source = existsSync(join(ROOT, file)) ? await read(file) : ''
    if (file !== undefined && source === '') missing.push(file)
    if (title !== undefined && !source.includes(title)) missing.push(title)
    if (title !== undefined) named += 1
  }
  expect(named).toBeGreaterThan(60)
  expect(missing).toEqual([])
})

describe('every page', async () => {
  const pages = await filesBelow('.', '.md')

  test.for(pages)('%s links only to files and headings that exist', async (path) => {
    const broken: string[] = []
    for (const link of linksOf(await read(path))) {
      const [target = '', heading] = link.split('#')
      const file = target === '' ? path : relative(ROOT, resolve(ROOT, dirname(path), target))
      if (!existsSync(join(ROOT, file))) broken.push(link)
      else if (heading !== undefined && !headingsOf(await read(file)).includes(heading)) broken.push(link)
    }
    expect(broken).toEqual([])
  })

  test.for(pages)('%s names only npm scripts that exist', async (path) => {
    const { scripts } = JSON.parse(await read('package.json'))
    const named = [...(await read(path)).matchAll(/npm (?:run ([a-z:]+)|(start|test)\b)/g)].map(
      ([, script, short]) => script ?? short ?? '',
    )
    expect(named.filter((script) => !(script in scripts))).toEqual([])
  })

  test.for(pages)('%s gives npm scripts only words that they take, and runs only files that exist', async (path) => {
    const page = await read(path)
    const { scripts } = JSON.parse(await read('package.json'))
    const { checkWords } = await import(new URL('../bin/usage.mjs', import.meta.url).href)
    const wrong = [...page.matchAll(/npm (?:run )?([a-z:]+) -- ([^\n`#|]+)/g)].flatMap(
      ([line, script = '', words = '']) => {
        const command = /run\.mjs (\S+)/.exec(scripts[script])?.[1]
        return [null, 'help'].includes(checkWords(command, words.trim().split(/ +/), parseArgs)) ? [] : [line]
      },
    )
    const files = [...page.matchAll(/npx (?:tsx|vitest run)[^\n`]*? (\S+\.ts)\b/g)].map(([, file = '']) => file)
    expect([...wrong, ...files.filter((file) => !existsSync(join(ROOT, file)))]).toEqual([])
  })

  test.for(pages)('%s names only settings that exist', async (path) => {
    const ofDevelopers = ['TEST_POSTGRES', 'HOSTILE_DEFAULTS', 'NODE_ENV']
    // Constants named together with a file are checked by limits.test.ts.
    const text = (await read(path)).replaceAll(/`[\w./-]+\.ts`: `[^|;]*/g, '')
    const named = text.matchAll(/`([A-Z][A-Z\d]*(?:_[A-Z\d]+)+)\b|\b([A-Z][A-Z\d]*(?:_[A-Z\d]+)+)=/g)
    const settings = [...named].map(([, inText, inCode]) => inText ?? inCode ?? '')
    expect(settings.filter((name) => !(name in VARIABLES) && !ofDevelopers.includes(name))).toEqual([])
  })

  test('the first screen of the README names the provider, where its key comes from and goes, and who sets the price', async () => {
    const screen = (await read('README.md')).split('\n').slice(0, 12).join('\n')
    for (const said of [/https:\/\/docs\.globalaiopc\.com/, /key comes from/, /UPSTREAM_API_KEY/, /price/])
      expect(screen).toMatch(said)
  })

  test('the README links to every document', async () => {
    const linked = linksOf(await read('README.md'))
    const documents = pages.filter((path) => /^(?:docs\/[^/]+|docs\/decisions\/README|[A-Z]+)\.md$/.test(path))
    expect(documents.length).toBeGreaterThan(15)
    expect(documents.filter((path) => path !== 'README.md' && !linked.includes(path))).toEqual([])
  })

  test('the glossary of ARCHITECTURE.md has at most 20 entries', async () => {
    const [, glossary = ''] = /## Glossary\n([\s\S]*?)\n## /.exec(await read('ARCHITECTURE.md')) ?? []
    const entries = glossary
      .split('\n')
      .filter((line) => line.startsWith('| '))
      .slice(2)
    expect(entries.length).toBeGreaterThan(10)
    expect(entries.length).toBeLessThanOrEqual(20)
  })

  test.for(['README.md', 'ARCHITECTURE.md'])('%s stays under 200 lines', async (path) => {
    expect((await read(path)).split('\n').length).toBeLessThan(200)
  })
})

/** Paths from the root, without installed, generated or hidden files. */
async function filesBelow(folder: string, ending: string): Promise<string[]> {
  const entries = await readdir(join(ROOT, folder), { withFileTypes: true })
  const nested = entries.map((entry) => {
    const path = join(folder, entry.name)
    if (entry.isFile()) return path.endsWith(ending) ? [path] : []
    const skipped = entry.name.startsWith('.') || ['node_modules', 'generated'].includes(entry.name)
    return entry.isDirectory() && !skipped ? filesBelow(path, ending) : []
  })
  return (await Promise.all(nested)).flat()
}

/** Targets of links and images within the repository; code blocks are ignored. */
function linksOf(markdown: string): string[] {
  const prose = markdown.replaceAll(/```[\s\S]*?```|`[^`\n]*`/g, '')
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"/g)]
  return targets.map(([, link, attribute]) => link ?? attribute ?? '').filter((target) => !/^[a-z]+:/.test(target))
}

/** Headings as GitHub names them in links. */
function headingsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, words = '']) =>
    words
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
