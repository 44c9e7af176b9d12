import { expect, test } from 'vitest'
import { parseBaseUrl } from './base-url.ts'

test.each(['', '/', '//', '/v1', '/v1/', ' '])('a base URL pasted with %j at its end means the same', (end) => {
  expect(parseBaseUrl(`https://h.example/api${end}`)).toEqual({ origin: 'https://h.example', path: '/api' })
  expect(parseBaseUrl(`http://h.example:81${end}`)).toEqual({ origin: 'http://h.example:81', path: '' })
})

test.each([
  ['h.example', /not a URL/],
  ['', /not a URL/],
  ['ftp://h.example', /http/],
  ['https://user:hunter2@h.example', /user name/],
  ['https://h.example/?key=hunter2', /query/],
  ['https://h.example/#hunter2', /fragment/],
])('%j is refused without being repeated', (raw, message) => {
  expect(() => parseBaseUrl(raw)).toThrow(message)
  expect(() => parseBaseUrl(raw)).not.toThrow(/hunter2/)
})
