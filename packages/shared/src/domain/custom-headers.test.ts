import { describe, expect, it } from 'vitest'
import { changedHeaders, nameFault, valueFault } from './custom-headers.ts'

describe('a custom header', () => {
  it.each(['authorization', 'X-Api-Key', 'cookie', 'x_tenant', 'X-Forwarded-For', 'traceparent'])(
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
})

it('a change of headers leaves those that it does not name, and null takes away', () => {
  const before = { a: '1', b: '2' }
  expect(changedHeaders(before, new Map([['b', null]]))).toEqual({ a: '1' })
  expect(changedHeaders(before, new Map([['c', '3']]))).toEqual({ a: '1', b: '2', c: '3' })
  expect(changedHeaders(before, 'all')).toEqual({})
})
