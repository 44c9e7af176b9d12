import { TypeID } from 'typeid-js'
import { describe, expect, it } from 'vitest'
import { isId, type Noun, newId } from './ids.ts'

const PREFIXES: Readonly<Record<Noun, string>> = {
  project: 'prj',
  apiKey: 'key',
  generation: 'gen',
  batch: 'batch',
  submission: 'sub',
  event: 'evt',
  endpoint: 'ep',
  delivery: 'dlv',
  attempt: 'att',
  operator: 'op',
  session: 'ses',
  audit: 'aud',
  operation: 'opn',
  process: 'prc',
}
const NOUNS = Object.keys(PREFIXES) as Noun[]

describe('ids', () => {
  it.each(NOUNS)('of a %s have its prefix and a UUIDv7, and are recognised as nothing else', (noun) => {
    const id = newId(noun)
    expect(id).toMatch(new RegExp(`^${PREFIXES[noun]}_[0-7][0-9a-hjkmnp-tv-z]{25}$`))
    expect(TypeID.fromString(id).toUUID()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-/)
    expect(NOUNS.filter((other) => isId(other, id))).toEqual([noun])
  })

  it('ascend when one process makes them, so that lists page by them', () => {
    const ids = Array.from({ length: 10_000 }, () => newId('generation'))
    expect([...ids].sort()).toEqual(ids)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it.each([
    '',
    'gen',
    'gen_',
    'gen_1',
    'GEN_01jd0000000000000000000000',
    'gen_81jd0000000000000000000000',
    "gen_01jd000000000000000000000'",
    'gen_01jd000000000000000000000\0',
    'gen_01JD0000000000000000000000',
    '01jd0000000000000000000000',
    `gen_01jd0000000000000000000000${'0'.repeat(1_000)}`,
  ])('are not read from %j', (text) => {
    expect(isId('generation', text)).toBe(false)
  })
})
