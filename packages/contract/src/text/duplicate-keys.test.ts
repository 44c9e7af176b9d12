import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findDuplicateKeys } from './duplicate-keys.ts'

const pathsIn = (text: string) => findDuplicateKeys(text, JSON.parse(text)).map((path) => path.join('.'))

describe('findDuplicateKeys', () => {
  it.each([
    ['{"a":1,"a":2}', ['a']],
    ['{"a":1,"a":1,"a":1}', ['a', 'a']],
    ['{"a":1,"\\u0061":2}', ['a']],
    ['[{"b":{"c":[0,{"d":1,"e":":","d":2}]}}]', ['0.b.c.1.d']],
    ['{"":1,"":2}', ['']],
    ['{"__proto__":1,"__proto__":2}', ['__proto__']],
    ['{"a":{"x":1},"a":{"x":1}}', ['a']],
    ['{"say \\"hi\\"":1,"say \\"hi\\"":2}', ['say "hi"']],
    ['{"a":"\\\\","a":1}', ['a']],
  ])('finds them in %s', (text, paths) => expect(pathsIn(text)).toEqual(paths))

  it.each([
    '{}',
    '[]',
    '0',
    'null',
    '{"a":{"a":{"a":1}}}',
    '[{"a":1},{"a":1}]',
    '{"a":"\\"a\\":1,\\"a\\":2","b\\\\":":"}',
    '{"__proto__":1}',
    '{"a":1,"A":2}',
    '{"a":null,"b":[null,{}]}',
  ])('finds none in %s', (text) => expect(pathsIn(text)).toEqual([]))

  it('finds none in what JavaScript wrote itself', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => pathsIn(JSON.stringify(value)).length === 0))
  })

  it('goes as deep as JSON does, and names the first hundred', () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    expect(findDuplicateKeys(deep, JSON.parse(deep))).toEqual([])
    expect(pathsIn(`{${Array(300).fill('"a":1').join(',')}}`)).toHaveLength(100)
  })
})
