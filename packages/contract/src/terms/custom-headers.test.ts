import { describe, expect, it } from 'vitest'
import { changedHeaders, nameFault, valueFault } from './custom-headers.ts'

describe('a custom header', () => {
  it.each(['authorization', 'X-Api-Key', 'cookie', 'x_tenant', 'X-Forwarded-For', 'traceparent', 'x'.repeat(100)])(
    'may be %s',
    (name) => {
      expect(nameFault(name)).toBeNull()
    },
  )

  it.each([
    ...['', 'a b', 'a:b', 'a\r\nb', 'Ä', '\0', 'x'.repeat(101), '(x)', ':authority'],
    ...['Host', 'content-type', 'Content-Length', 'Webhook-Signature', 'webhook-id', 'Transfer-Encoding', 'Connection'],
    ...[
      'keep-alive',
      'TE',
      'Trailer',
      'Upgrade',
      'Expect',
      'Proxy-Authorization',
      'User-Agent',
      'Accept-Encoding',
      'Date',
      'HTTP2-Settings',
    ],
  ])('is never %j', (name) => {
    expect(nameFault(name)).not.toBeNull()
  })

  it.each(['Bearer abc.def', 'Café', 'ÿ', 'x'.repeat(1_000), 'a  b', '"quoted", or not'])(
    'may have the value %j',
    (value) => {
      expect(valueFault(value)).toBeNull()
    },
  )

  it.each([
    '',
    ' ',
    ' a',
    'a ',
    'a\tb',
    'a\r\nX-Evil: 1',
    'a\n',
    '\0',
    '\x7f',
    '\x85',
    '映',
    '🦊',
    'Ā',
    'x'.repeat(1_001),
  ])('never has the value %j', (value) => {
    expect(valueFault(value)).not.toBeNull()
    expect(value.trim().length < 2 || !valueFault(value)?.includes(value)).toBe(true)
  })

  const CHARACTERS = Array.from({ length: 0x300 }, (_, code) => String.fromCharCode(code))

  it('has a name of the characters of a token, and of no other', () => {
    const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    expect(CHARACTERS.filter((one) => nameFault(`x${one}x`) === null)).toEqual([...token].sort())
  })

  it('has a value of visible Latin-1, with blanks between', () => {
    const visible = (one: string) => /[!-~]/.test(one) || (one > '\u{a0}' && one <= 'ÿ')
    expect(CHARACTERS.filter((one) => valueFault(one) === null)).toEqual(CHARACTERS.filter(visible))
    const blank = (one: string) => one === ' ' || one === '\u{a0}'
    const between = CHARACTERS.filter((one) => visible(one) || blank(one))
    expect(CHARACTERS.filter((one) => valueFault(`x${one}x`) === null)).toEqual(between)
    expect(CHARACTERS.filter((one) => valueFault(`${one}x`) === null)).toEqual(CHARACTERS.filter(visible))
    expect(CHARACTERS.filter((one) => valueFault(`x${one}`) === null)).toEqual(CHARACTERS.filter(visible))
  })
})

it('a change of headers leaves those that it does not name, and null takes away', () => {
  const before = { a: '1', b: '2' }
  expect(changedHeaders(before, new Map([['b', null]]))).toEqual({ a: '1' })
  expect(changedHeaders(before, new Map([['c', '3']]))).toEqual({ a: '1', b: '2', c: '3' })
  expect(changedHeaders(before, 'all')).toEqual({})
})
