import { describe, expect, it } from 'vitest'
import { LINE_BYTES_MAX, type Line, readJsonLines } from './json-lines.ts'

async function linesOf(...pieces: (string | Buffer)[]): Promise<Line[]> {
  async function* arriving() {
    for (const piece of pieces) yield Buffer.from(piece as string)
  }
  const lines: Line[] = []
  for await (const some of readJsonLines(arriving())) lines.push(...some)
  return lines
}

describe('JSON Lines', () => {
  it.each([
    ['an end after each line', '{"a":1}\n{"a":2}\n', [1, 2]],
    ['no end after the last', '{"a":1}\n{"a":2}', [1, 2]],
    ['CRLF', '{"a":1}\r\n{"a":2}\r\n', [1, 2]],
    ['a BOM', '\uFEFF{"a":1}\n{"a":2}\n', [1, 2]],
    ['blank lines, which count', '{"a":1}\n\n  \r\n{"a":2}\n\n', [1, 4]],
  ])('with %s', async (_, text, numbers) => {
    const lines = await linesOf(text)
    expect(lines.map((line) => line.line)).toEqual(numbers)
    expect(lines).toMatchObject([{ value: { a: 1 } }, { value: { a: 2 } }])
  })

  it('are the same wherever the pieces end, also inside of a character, a CRLF or the BOM', async () => {
    const bytes = Buffer.from('\uFEFF{"prompt":"żółw 🐢"}\r\nbroken\r\n{"b":"\\n"}')
    const whole = await linesOf(bytes)
    expect(whole).toEqual([
      { line: 1, value: { prompt: 'żółw 🐢' } },
      { line: 2, broken: 'json' },
      { line: 3, value: { b: '\n' } },
    ])
    for (let at = 0; at <= bytes.length; at++) {
      expect(await linesOf(bytes.subarray(0, at), bytes.subarray(at))).toEqual(whole)
    }
    expect(await linesOf(...Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual(whole)
  })

  it('of nothing, or of a BOM alone, are none', async () => {
    expect(await linesOf()).toEqual([])
    expect(await linesOf('')).toEqual([])
    expect(await linesOf('\uFEFF\n')).toEqual([])
  })

  it('say what is wrong with a line, and go on with the next', async () => {
    const lines = await linesOf(
      Buffer.from([0x22, 0xff, 0x22, 0x0a]),
      `"${'x'.repeat(LINE_BYTES_MAX)}"\n`,
      '{"a":}\n[1,\n1\n',
    )
    expect(lines).toEqual([
      { line: 1, broken: 'utf8' },
      { line: 2, broken: 'max_bytes' },
      { line: 3, broken: 'json' },
      { line: 4, broken: 'json' },
      { line: 5, value: 1 },
    ])
  })

  it('may be as long as a request, and no longer', async () => {
    const text = `"${'x'.repeat(LINE_BYTES_MAX - 2)}"`
    expect(await linesOf(text)).toMatchObject([{ value: expect.any(String) }])
    expect(await linesOf(`${text} `)).toEqual([{ line: 1, broken: 'max_bytes' }])
  })
})
