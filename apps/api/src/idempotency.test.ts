import { expect, test } from 'vitest'
import { hashItems, idempotencyOf } from './idempotency.ts'

test.each([
  [{ metadata: null, webhookUrl: null }, []],
  [
    { metadata: { b: 1, a: { d: [], c: 'é' } }, webhookUrl: 'https://a.example/' },
    [
      { seconds: 4, model: 'x' },
      { model: 'y', metadata: { b: 1, a: 2 } },
    ],
  ],
])('items that come one by one have the hash of all of them together', (frame, normals) => {
  const hash = hashItems('/v1/batches', frame)
  for (const normal of normals) hash.add(normal)
  expect(hash.end()).toBe(idempotencyOf('key', '/v1/batches', { ...frame, normals }).idempotencyHash)
})
