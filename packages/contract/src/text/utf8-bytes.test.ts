import fc from 'fast-check'
import { expect, test } from 'vitest'
import { utf8Bytes } from './utf8-bytes.ts'

test('the bytes of a text are those that Node.js counts, also of one with half a surrogate pair', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(utf8Bytes(text)).toBe(Buffer.byteLength(text))
    }),
  )
  expect(utf8Bytes('é\ud800')).toBe(5)
})
