import { describe, expect, it } from 'vitest'
import { isBlank } from './blank-text.ts'

describe('isBlank', () => {
  it.each([
    ['nothing', ''],
    ['spaces, tabs and line breaks', ' \t\r\n\v\f'],
    ['a no-break space', '\u00A0\u202F\u2007'],
    ['an ideographic space', '\u3000'],
    ['characters without width', '\u200B\u200C\u200D\u2060\uFEFF'],
    ['a soft hyphen and marks of direction', '\u00AD\u200E\u202A'],
    ['combining marks alone', '\u0301\u20E3\uFE0F'],
    ['control characters', '\u0001\u001B\u007F\u0085'],
    ['fillers of Hangul', '\u3164\u115F\u1160\uFFA0'],
    ['the blank pattern of Braille', '\u2800'],
    ['line and paragraph separators', '\u2028\u2029'],
    ['tag characters', '\u{E0041}'],
  ])('is true of %s', (_, text) => expect(isBlank(text)).toBe(true))

  it.each(['a', ' a ', '\u200B狐', '🦊', '👩‍🚀', '.', 'é', '\u2801', '1️⃣'])('is false of %j', (text) =>
    expect(isBlank(text)).toBe(false),
  )
})
