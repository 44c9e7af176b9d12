import { describe, expect, it } from 'vitest'
import { createLogger, withoutQueries } from './log.ts'

describe('withoutQueries', () => {
  it.each([
    [
      'Reply was already sent, did you forget to "return reply" in "/v1/batches?defaults=%7B%22prompt%22%3A%22x%22%7D" (POST)?',
      'Reply was already sent, did you forget to "return reply" in "/v1/batches?…" (POST)?',
    ],
    ['Route GET:/v1/nothing?a=b not found', 'Route GET:/v1/nothing?… not found'],
    ['https://example.com/hook?token=secret', 'https://example.com/hook?…'],
    ['Is a worker running? See /readyz', 'Is a worker running? See /readyz'],
  ])('makes of %s: %s', (text, expected) => expect(withoutQueries(text)).toBe(expected))
})

it.runIf(process.platform === 'linux')('a log on a full disk throws nothing and ends nothing', () => {
  const log = createLogger('info', '/dev/full')
  expect(() => {
    for (let n = 0; n < 10; n++) log.info({ event: 'kept.going', n })
  }).not.toThrow()
})
