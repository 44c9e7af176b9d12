import { brotliCompressSync, constants, deflateRawSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { readBody } from './read-body.ts'

/** Replies of every realistic length, so that compressed bytes begin in every possible way. */
const ANSWERS = Array.from({ length: 800 }, (_, n) => `{"id":"${'7aq_Zk3-'.repeat(100).slice(0, n + 1)}"}`)
const quality = (value: number) => ({ params: { [constants.BROTLI_PARAM_QUALITY]: value } })
const smallWindow = { params: { [constants.BROTLI_PARAM_LGWIN]: 16, [constants.BROTLI_PARAM_QUALITY]: 4 } }

describe('compressed bytes that begin as plain text does are read', () => {
  test.each<[string, string, (text: string) => Buffer]>([
    ['brotli', 'br', (text) => brotliCompressSync(text)],
    ['brotli at its fastest', 'br', (text) => brotliCompressSync(text, quality(0))],
    ['brotli with a small window', 'br', (text) => brotliCompressSync(text, smallWindow)],
    ['deflate without a header of its own', 'deflate', (text) => deflateRawSync(text)],
  ])('%s', async (_name, contentEncoding, compress) => {
    const read = await Promise.all(
      ANSWERS.map((text) => readBody(compress(text), { contentEncoding, contentType: 'application/json' }, 10_000)),
    )
    expect(read.map(({ text }) => text)).toEqual(ANSWERS)
  })
})

describe('plain text that is called compressed stays as it is', () => {
  test.each(['br', 'deflate', 'gzip', 'br, gzip'])('%s', async (contentEncoding) => {
    for (const text of [...ANSWERS.slice(0, 100), '[1]', '"a"', '<!doctype html><p>x', ' {"code":1}']) {
      const headers = { contentEncoding, contentType: 'application/json' }
      expect((await readBody(Buffer.from(text), headers, 10_000)).text).toBe(text)
    }
  })
})
