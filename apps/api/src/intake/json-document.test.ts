import { Readable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { createDocumentReader, readItemsOf } from './json-document.ts'
import type { Line } from './json-lines.ts'

function cut(text: string, at: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text)
  const ends = [...at.map((n) => n % (bytes.length + 1)), bytes.length].sort((one, other) => one - other)
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

async function read(
  text: string,
  at: readonly number[] = [],
): Promise<{ frame: unknown; items: number; lines: Line[] }> {
  const reader = createDocumentReader()
  for (const piece of cut(text, at)) reader.push(piece)
  const { bytes, items } = reader.end()
  const lines: Line[] = []
  for await (const some of readItemsOf(Readable.from(cut(text, at)))) lines.push(...some)
  return { frame: JSON.parse(bytes.toString()), items, lines }
}

/** The reader's result for a text, as a single value; null for invalid JSON. */
async function parsed(text: string, at: readonly number[]): Promise<unknown> {
  try {
    const { frame, items, lines } = await read(text, at)
    if (items !== lines.length) throw new Error('the two readings differ')
    if (items === 0) return frame
    const values = lines.map((line) => ('value' in line ? line.value : line.broken))
    return { ...(frame as object), items: values }
  } catch (error) {
    if (error instanceof SyntaxError || (error as { code?: string }).code === 'malformed_json') return null
    throw error
  }
}

function parsedWhole(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

describe('a document', () => {
  it('is a frame and items, wherever its pieces end', async () => {
    const text = ' {"a":[{"items":[1]}],"it\\u0065ms" : [ {"x":"]},\\"{"} ,[1,[2]], "é" ] , "b":{"items":[]}} \n'
    for (let at = 0; at <= Buffer.byteLength(text); at++) {
      const { frame, items, lines } = await read(text, [at])
      expect(frame).toEqual({ a: [{ items: [1] }], items: [null], b: { items: [] } })
      expect(items).toBe(3)
      expect(lines).toEqual([
        { line: 1, value: { x: ']},"{' } },
        { line: 2, value: [1, [2]] },
        { line: 3, value: 'é' },
      ])
    }
  })

  test.each([
    ['[{"items":[1,2]}]', [{ items: [1, 2] }]],
    ['{"items":{"items":[1]}}', { items: { items: [1] } }],
    ['{"items":7}', { items: 7 }],
    ['{"items":[ ]}', { items: [] }],
    ['"items"', 'items'],
  ])('%s has no items', async (text, frame) => {
    expect(await read(text)).toEqual({ frame, items: 0, lines: [] })
  })

  test.each([
    '{"items":[1,]}',
    '{"items":[,1]}',
    '{"items":[1}',
    '{"items":[{]}',
    '{"items":[1]',
    '{"items":[1]}]',
    '{"items":[1 2]}',
    '{"items":[1]} {"items":[1]}',
    '{"items":["a]}',
  ])('%s is no JSON', async (text) => {
    expect(await parsed(text, [])).toBeNull()
  })

  it('is what JSON.parse makes of it, for any text of brackets, names and numbers, however it is cut', async () => {
    const token = fc.constantFrom('{', '}', '[', ']', ',', ':', '"items"', '"a"', '"\\""', '1', 'null', ' ')
    const text = fc.oneof(
      fc.array(token, { maxLength: 14 }).map((tokens) => `{"items":[${tokens.join('')}`),
      fc.array(token, { maxLength: 12 }).map((tokens) => tokens.join('')),
      fc.json({ maxDepth: 4 }),
      fc.array(fc.json(), { minLength: 1 }).map((items) => `{"x":1,"items":[${items.join(',')}]}`),
    )
    await fc.assert(
      fc.asyncProperty(text, fc.array(fc.nat()), async (json, at) => {
        // The frame refuses a duplicate name before any item is read.
        fc.pre((json.match(/"items"/g)?.length ?? 0) < 2 && !json.includes('__proto__'))
        expect(await parsed(json, at)).toEqual(parsedWhole(json))
      }),
      { numRuns: 2_000 },
    )
  })

  it('has an element of more than 1 MiB as one that is too long, and the next ones all the same', async () => {
    const { lines } = await read(`{"items":["${'x'.repeat(1024 * 1024)}",2]}`, [70_000, 900_000])
    expect(lines).toEqual([
      { line: 1, broken: 'max_bytes' },
      { line: 2, value: 2 },
    ])
  })

  it('may have neither more than 1 MiB beside its items nor more than a million values', async () => {
    const push = (text: string) => () => createDocumentReader().push(Buffer.from(text))
    expect(push(`{"a":"${'x'.repeat(1024 * 1024)}"`)).toThrow(/beside the items/)
    expect(push(`{"items":[${'1,'.repeat(1_000_001)}`)).toThrow(/1,000,000 values/)
    expect(push(`{"items":["${','.repeat(1_000_001)}`)).not.toThrow()
  })
})
