// Reads JSON Lines: one value for each line that is not blank. Accepts a BOM, CRLF and a last line without an end. Only
// the current piece is in memory, for a body of any size.

import { isUtf8 } from 'node:buffer'
import { findTextFaults, type TextFault } from '@reelqueue/contract/text/json-text'

/** Limit for a line: the same as the body of a single request. */
export const LINE_BYTES_MAX = 1024 * 1024

export type Line = ReadLine | BrokenLine
interface ReadLine {
  readonly line: number
  readonly value: unknown
  /** Faults not visible in the value: numbers that JSON.parse would change, and duplicate names. */
  readonly faults?: readonly TextFault[]
}
export interface BrokenLine {
  readonly line: number
  readonly broken: 'json' | 'utf8' | 'max_bytes'
}

/**
 * Reads lines, numbered from 1; blank lines are counted but not yielded. Lines that end in the same piece are yielded
 * together.
 */
export async function* readJsonLines(pieces: AsyncIterable<Buffer>): AsyncGenerator<Line[]> {
  const splitter = createSplitter()
  for await (const piece of pieces) yield splitter.push(piece)
  yield splitter.end()
}

const LF = 10
const BOM = Buffer.from('\uFEFF')

function createSplitter() {
  /** The start of the unfinished line; empty after the line exceeded the size limit. */
  let begun: Buffer[] = []
  let length = 0
  let line = 0

  function take(part: Buffer): void {
    length += part.length
    if (length > LINE_BYTES_MAX) begun = []
    else if (part.length > 0) begun.push(part)
  }
  function finishLine(): Line | null {
    line++
    const isTooLong = length > LINE_BYTES_MAX
    if (length === 0) return null
    const [first, ...more] = begun
    const bytes = first && more.length === 0 ? first : Buffer.concat(begun)
    begun = []
    length = 0
    if (isTooLong) return { line, broken: 'max_bytes' }
    return parseLine(line, line === 1 && bytes.subarray(0, BOM.length).equals(BOM) ? bytes.subarray(BOM.length) : bytes)
  }
  return {
    push(piece: Buffer): Line[] {
      const lines: Line[] = []
      let from = 0
      for (let to = piece.indexOf(LF); to !== -1; to = piece.indexOf(LF, from)) {
        take(piece.subarray(from, to))
        from = to + 1
        const finished = finishLine()
        if (finished) lines.push(finished)
      }
      take(piece.subarray(from))
      return lines
    },
    end(): Line[] {
      const last = length > 0 ? finishLine() : null
      return last ? [last] : []
    },
  }
}

/** Null for a blank line. */
function parseLine(line: number, bytes: Buffer): Line | null {
  const parsed = parseJson(bytes)
  return parsed === null ? null : { line, ...parsed }
}

/** Parses a JSON text in UTF-8 into the value or the kind of fault. Null for a blank text. */
export function parseJson(bytes: Buffer): Omit<ReadLine, 'line'> | Omit<BrokenLine, 'line'> | null {
  if (!isUtf8(bytes)) return { broken: 'utf8' }
  const json = bytes.toString('utf8').trim()
  if (json === '') return null
  try {
    const value: unknown = JSON.parse(json)
    const faults = findTextFaults(json, value)
    return faults.length === 0 ? { value } : { value, faults }
  } catch {
    return { broken: 'json' }
  }
}
