// docs/limits.md against the code: every figure taken from a constant, and every place with a wait for a turn.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const page = read('docs/limits.md')

/** Each constant named by a row, with the file. */
const named = page
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .flatMap((row) => {
    const where = row.split('|').at(-2) ?? ''
    return where.split(';').flatMap((part) => {
      const [file = '', ...constants] = [...part.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
      return constants.map((constant) => ({ row, file, constant }))
    })
  })

/** The value of a constant in a file: a product of whole numbers. `NAME.key` is a key of an object. */
function valueIn(file: string, constant: string): number {
  const [name = '', key] = constant.split('.')
  const [, said = ''] = new RegExp(`const ${name}(?:: [^=]+)? = (\\{[^}]*\\}|[^\\n]+)`).exec(read(file)) ?? []
  const text = key === undefined ? said : (new RegExp(`\\b${key}: ([^,}\\n]+)`).exec(said)?.[1] ?? '')
  return text
    .replace(/ as const$/, '')
    .split('*')
    .reduce((product, factor) => product * Number(factor.trim().replaceAll('_', '') || Number.NaN), 1)
}

/** The spellings of the value allowed on the page. */
function wordsFor(constant: string, value: number): string[] {
  const number = (n: number) => n.toLocaleString('en', { maximumFractionDigits: 1 })
  if (/(?:^|_)MS(?:_|$)|Ms$/.test(constant))
    return [`${number(value)} ms`, `${number(value / 1_000)} s`, `${number(value / 60_000)} min`]
  if (/BYTES/.test(constant) && !/waiting/.test(constant))
    return [`${value / 1_024} KiB`, `${value / 1_024 ** 2} MiB`, `${value / 1_024 ** 3} GiB`]
  return [number(value)]
}

test.for(named)('$constant of $file is what the page says', ({ row, file, constant }) => {
  const value = valueIn(file, constant)
  expect(value).toBeGreaterThan(0)
  // Not as a part of another number.
  const isSaid = wordsFor(constant, value).some((words) => new RegExp(`(?<![\\d,.])${words}(?!\\d|,\\d)`).test(row))
  expect([constant, value, isSaid]).toEqual([constant, value, true])
})

test('the page names constants of many files', () => {
  expect(new Set(named.map(({ file }) => file)).size).toBeGreaterThan(20)
})

const SOURCES = ['apps/api/src', 'apps/worker/src', 'packages/contract/src', 'packages/shared/src', 'bin'].flatMap(
  (folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .map((path) => join(folder, path))
      .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts') && !path.includes('generated')),
)
/** Calls that wait for a turn or a lock. */
const WAITS = /\b(?:fairTurns|takeTurns)\(|pg_advisory_xact_lock\(/
/** Files that define turns or use the bounds of another file. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'packages/shared/src/runtime/turns.ts': 'the definition',
  'packages/shared/src/runtime/fair-turns.ts': 'the definition',
  'bin/api.ts': 'packages/shared/src/runtime/micro-batch.ts',
}

test('every file that waits for a turn or a lock is on the page', () => {
  const files = SOURCES.filter((path) => WAITS.test(read(path)))
  expect(files.length).toBeGreaterThan(8)
  expect(files.filter((path) => !(path in ELSEWHERE) && !page.includes(path))).toEqual([])
})
