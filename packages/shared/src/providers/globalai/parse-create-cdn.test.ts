import { expect, test } from 'vitest'
import { parseCreate } from './parse-create.ts'

const read = (httpStatus: number, text: string, isCloudflare: boolean) =>
  parseCreate(
    { kind: 'reply', httpStatus, retryAfterMs: null, text, headers: {}, bytes: 0, cut: null, isCloudflare },
    [],
  )

test.each([
  [521, '<html>Web server is down</html>'],
  [523, ''],
  [525, 'error code: 525'],
  [526, ''],
  [530, 'error code: 1016'],
  [530, 'error code: 1033'],
])('HTTP %i with %j of the CDN never reached the provider: certain, and tried again', (status, text) => {
  expect(read(status, text, true)).toMatchObject({ kind: 'rejected', class: 'unreachable', retryable: true })
  expect(read(status, text, false)).toMatchObject({ kind: 'unknown' })
})

test.each([500, 502, 503, 504, 520, 522, 524, 530])('HTTP %i may follow a request that arrived', (status) => {
  expect(read(status, '', true)).toMatchObject({ kind: 'unknown', code: `upstream_http_${status}` })
})
