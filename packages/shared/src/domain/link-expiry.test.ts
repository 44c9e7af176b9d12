import { expect, test } from 'vitest'
import { linkExpiresAt, statedExpiresAt } from './link-expiry.ts'

const now = Date.parse('2026-11-29T08:00:00Z')
const inAnHour = Date.parse('2026-11-29T09:00:00Z')
const seconds = inAnHour / 1_000
const policy = (text: string) =>
  Buffer.from(text).toString('base64').replace(/\+/g, '-').replace(/=/g, '_').replace(/\//g, '~')

test.each([
  'X-Amz-Date=20261129T080000Z&X-Amz-Expires=3600&X-Amz-Signature=a',
  'x-amz-expires=3600&x-amz-date=20261129T080000Z',
  'X-Goog-Date=20261129T080000Z&X-Goog-Expires=3600',
  'X-Tos-Date=20261129T080000Z&X-Tos-Expires=3600',
  'x-oss-date=20261129T080000Z&x-oss-expires=3600',
  `AWSAccessKeyId=a&Signature=b&Expires=${seconds}`,
  `Expires=${seconds}&Signature=b&Key-Pair-Id=c`,
  `OSSAccessKeyId=a&Expires=${seconds}&Signature=b`,
  `Policy=${policy(`{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":${seconds}}}}]}`)}&Signature=b`,
  'sv=2024-11-04&se=2026-11-29T09%3A00%3A00Z&sig=b',
  `q-sign-algorithm=sha1&q-sign-time=1764400000;${seconds}&q-key-time=1764400000;${seconds + 900}`,
  `Expires=${seconds}&X-Amz-Date=20261129T080000Z&X-Amz-Expires=7200`,
])('a link with %s ends in an hour', (query) => {
  expect(linkExpiresAt(`https://cdn.example.com/v.mp4?${query}`, now)).toBe(inAnHour)
})

test.each([
  '',
  'sig=1',
  'Expires=3600',
  'Expires=never',
  'X-Amz-Expires=3600',
  'X-Amz-Date=20269999T080000Z&X-Amz-Expires=60',
  'se=abc',
  'Expires=99999999999999',
])('a link with %j does not say when it ends', (query) => {
  expect(linkExpiresAt(`https://cdn.example.com/v.mp4?${query}`, now)).toBeNull()
})

test.each([
  [seconds, false],
  [seconds * 1_000, false],
  [String(seconds), false],
  ['2026-11-29T09:00:00Z', false],
  ['2026-11-29T10:00:00+01:00', false],
  ['2026-11-29 09:00:00', false],
  [3_600, true],
  ['3600', true],
])('%j is an hour from now', (value, isFromNow) => {
  expect(statedExpiresAt(value, isFromNow, now)).toBe(inAnHour)
})

test.each([null, undefined, 0, -5, '', 'soon', {}, true, 1e300])('%j says nothing', (value) => {
  expect(statedExpiresAt(value, false, now)).toBeNull()
})
