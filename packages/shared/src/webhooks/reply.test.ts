import { describe, expect, it } from 'vitest'
import { retryAfterMs, storableText } from './reply.ts'

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

describe('retryAfterMs', () => {
  const now = new Date('2026-01-01T00:00:00Z')

  it.each([
    ['120', 120_000],
    [' 0 ', 0],
    [['30', '60'], 30_000],
    ['Thu, 01 Jan 2026 00:01:30 GMT', 90_000],
    ['Wed, 31 Dec 2025 23:00:00 GMT', 0],
    ['99999999999999999999', 86_400_000],
    ['Fri, 01 Jan 2100 00:00:00 GMT', 86_400_000],
    [undefined, null],
    ['', null],
    ['-5', null],
    ['1.5', null],
    ['soon', null],
    ['2026', 2_026_000],
    ['nonsense GMT', null],
  ])('reads %j as %j ms', (value, ms) => {
    expect(retryAfterMs(value, now)).toBe(ms)
  })
})
