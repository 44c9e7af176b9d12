import { expect, it } from 'vitest'
import { Prisma } from './generated/client.ts'
import { isPrepared, nameOf, preparedName, sql } from './sql.ts'

it('a statement carries its name after its first word, with its fragments and values', () => {
  const named = sql.named('findOne')`
    SELECT ${1}, ${Prisma.sql`a, ${2}`}
    FROM b`
  expect(named.text).toBe('SELECT /* findOne */ $1, a, $2\n    FROM b')
  expect(named.values).toEqual([1, 2])
  expect(nameOf(named.text)).toBe('findOne')
  expect(preparedName(named.text)).toBe('')
})

it('a statement that begins with a fragment has its name too', () => {
  expect(sql.named('picked')`${Prisma.sql`SELECT ${1}`}`.text).toBe('SELECT /* picked */ $1')
})

it('Postgres keeps a prepared statement under its name and the hash of its text, within 63 bytes', () => {
  const [one, other] = ['a', 'b'].map(
    (column) => sql.named('move.complete', 'prepared')`SELECT ${Prisma.raw(column)}`.text,
  )
  expect(isPrepared(one ?? '')).toBe(true)
  expect(nameOf(one ?? '')).toBe('move.complete')
  expect(preparedName(one ?? '')).toMatch(/^move\.complete_[0-9a-f]{16}$/)
  expect(preparedName(one ?? '')).not.toBe(preparedName(other ?? ''))
})

it('a comment further on is no name', () => {
  expect(nameOf('SELECT 1 /* findOne */')).toBeNull()
})
