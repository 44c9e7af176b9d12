import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { COLUMNS_MAX, formatSource } from './templates.ts'

/** The layout of one statement in a file of its own. */
const laidOut = (sql: string) => formatSource(`const S = Prisma.sql\`\n${sql}\``).source.split('\n').slice(1).join('\n')
const lines = (...of: string[]) => `${of.map((line) => `  ${line}`).join('\n')}\``

describe('a statement', () => {
  it('has one clause a line', () => {
    expect(laidOut('SELECT id FROM a JOIN b ON b.id = a.id WHERE x ORDER BY y LIMIT 1 FOR UPDATE SKIP LOCKED')).toBe(
      lines(
        'SELECT id',
        'FROM a',
        'JOIN b ON b.id = a.id',
        'WHERE x',
        'ORDER BY y',
        'LIMIT 1',
        'FOR UPDATE SKIP LOCKED',
      ),
    )
    expect(laidOut('INSERT INTO a (b) VALUES (1) ON CONFLICT (b) DO UPDATE SET b = 2 RETURNING b')).toBe(
      lines('INSERT INTO a (b)', 'VALUES (1)', 'ON CONFLICT (b) DO UPDATE', 'SET b = 2', 'RETURNING b'),
    )
  })

  it('keeps a subquery on one line when it fits, but not a common table expression', () => {
    expect(laidOut('WITH a AS (SELECT 1 FROM b), c AS (SELECT 2) SELECT EXISTS (SELECT 1 FROM a WHERE d)')).toBe(
      lines(
        'WITH a AS (',
        '  SELECT 1',
        '  FROM b',
        '), c AS (',
        '  SELECT 2',
        ')',
        'SELECT EXISTS (SELECT 1 FROM a WHERE d)',
      ),
    )
  })

  it('ends lines at AND, and not inside BETWEEN', () => {
    const long = 'a_column_with_a_long_name'
    expect(laidOut(`SELECT 1 WHERE ${long} BETWEEN 1 AND 2 AND ${long} = ${long} AND (${long} OR ${long})`)).toBe(
      lines('SELECT 1', `WHERE ${long} BETWEEN 1 AND 2`, `  AND ${long} = ${long}`, `  AND (${long} OR ${long})`),
    )
  })

  it('keeps FROM inside an expression', () => {
    expect(laidOut('SELECT extract(epoch FROM a) FROM b WHERE a IS DISTINCT FROM c')).toBe(
      lines('SELECT extract(epoch FROM a)', 'FROM b', 'WHERE a IS DISTINCT FROM c'),
    )
  })

  it('keeps comments before what they are about, holes as they are, and the text of strings', () => {
    const hole = `\${x ? Prisma.sql\`, \${y} = '}'\` : Prisma.empty}`
    expect(laidOut(`SELECT a, -- why\n b${hole}, '  two  spaces' FROM c -- last\n`)).toBe(
      lines('SELECT a,', '  -- why', `  b${hole},`, "  '  two  spaces'", 'FROM c', '-- last', '').replace(
        / {2}`$/,
        '`',
      ),
    )
  })

  it('stays on one line where its author wrote one line that fits', () => {
    const source = 'const S = Prisma.sql`SELECT 1 FROM a WHERE b`'
    expect(formatSource(source).source).toBe(source)
  })

  it('is refused when parentheses do not match', () => {
    expect(() => laidOut('SELECT (1')).toThrow(') is missing')
  })
})

it('the layout of the store is stable, changes only white space, and names each line that is too long', () => {
  const store = fileURLToPath(new URL('../../packages/shared/src/store', import.meta.url))
  for (const name of readdirSync(store, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts') || name.includes('generated')) continue
    const source = readFileSync(join(store, name), 'utf8')
    const once = formatSource(source)
    expect(formatSource(once.source).source).toBe(once.source)
    expect(once.source.replace(/\s+/g, '')).toBe(source.replace(/\s+/g, ''))
  }
  const { faults } = formatSource(`const S = Prisma.sql\`\nSELECT \${${'a'.repeat(COLUMNS_MAX)}}\``)
  expect(faults).toEqual([expect.stringContaining('2 has 112 columns')])
})
