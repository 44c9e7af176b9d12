import { describe, expect, it } from 'vitest'
import { storableText } from './reply.ts'

describe('storableText', () => {
  it.each([
    ['plain', Buffer.from('ok'), 'ok'],
    ['NUL', Buffer.from('a\0b'), 'a\uFFFDb'],
    ['bytes that are not UTF-8', Buffer.from([0x61, 0xff, 0x62]), 'a\uFFFDb'],
    ['an encoded lone surrogate', Buffer.from([0xed, 0xa0, 0x80]), '\uFFFD\uFFFD\uFFFD'],
  ])('makes %s storable', (_name, bytes, text) => {
    expect(storableText(bytes, 100)).toBe(text)
  })

  it('drops a character cut in half by the bound', () => {
    expect(storableText(Buffer.from('abc🦊'), 5)).toBe('abc')
  })

  it('stays within the bound even when replacements are longer than what they replace', () => {
    const text = storableText(Buffer.alloc(10_000, 0xff), 4_096)
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4_096)
    expect(Buffer.byteLength(text)).toBeGreaterThan(4_090)
  })
})
