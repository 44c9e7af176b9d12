import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findInexactNumbers, isKeptNumber } from './json-numbers.ts'

const pathsIn = (text: string) => findInexactNumbers(text).map(({ path }) => path.join('.'))

describe('findInexactNumbers', () => {
  it.each([
    '0.1234567890123456789',
    '3.141592653589793238',
    '1e-400',
    '123456789012345678e-3',
    '1234567890.12345678901',
  ])('finds %s', (number) => {
    expect(pathsIn(`{"a":{"b c":[0,${number}]}}`)).toEqual(['a.b c.1'])
  })

  it.each([
    '9007199254740991',
    '0.1',
    '0.30000000000000004',
    '1.50',
    '1.50e3',
    '1E+5',
    '5e-324',
    '1.7976931348623157e308',
    '1000000000000000000000',
    '0.0000000000000000',
    '0e400',
  ])('lets %s pass', (number) => expect(pathsIn(`{"a":[${number}]}`)).toEqual([]))

  it('looks at no text of a string, whatever is escaped in it', () => {
    expect(pathsIn('{"12345678901234567890":"x\\"1e-400,12345678901234567890","b\\\\":[{"c":1e-400}]}')).toEqual([
      'b\\.0.c',
    ])
  })

  it('finds nothing in what JavaScript wrote itself', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => pathsIn(JSON.stringify(value)).length === 0))
  })

  it('names the first hundred', () => expect(pathsIn(`[${Array(300).fill('1e-400').join(',')}]`)).toHaveLength(100))
})

describe('isKeptNumber', () => {
  it.each(['1234567890123456789', '9007199254740993', '-9007199254740993', '1e400', '-1e400', '-0', '-0.0', '1e300'])(
    'is false of %s',
    (text) => expect(isKeptNumber(JSON.parse(text))).toBe(false),
  )
  it.each(['0', '9007199254740991', '-9007199254740991', '0.1', '1e-7'])('is true of %s', (text) =>
    expect(isKeptNumber(JSON.parse(text))).toBe(true),
  )
})
