// Reads a batch document (JSON) as a stream: the elements of `items` arrive singly, like lines; the rest, the frame, is
// small. The whole document is never in memory. JSON.parse validates the frame and each element; brackets and commas
// decide how the parts fit together.

import { Problem } from '@reelqueue/contract/terms/problem'
import { LINE_BYTES_MAX, type Line, parseJson } from './json-lines.ts'

/** Limit for the frame: all bytes outside the elements of `items`. */
const FRAME_BYTES_MAX = LINE_BYTES_MAX
/** A thousand values for each of a thousand items; a million values cost at worst a second and 200 MB. */
export const VALUES_MAX = 1_000_000
const ITEMS = 'items'
const KEY_BYTES_MAX = 64

const [QUOTE, BACKSLASH, COMMA, COLON, LIST, LIST_END, OBJECT, OBJECT_END] = Buffer.from('"\\,:[]{}')
const isBlank = (byte: number | undefined) => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

export interface DocumentFrame {
  /** The document with a single null in place of all elements of `items`. */
  readonly bytes: Buffer
  readonly items: number
}

export interface DocumentReader {
  /**
   * @throws Problem `body_too_large` when the document has more than a million values, or more than 1 MiB beside the
   * items
   */
  push(piece: Buffer): void
  end(): DocumentFrame
}

/** @param onElement receives the bytes of each element; absent: elements are only counted */
export function createDocumentReader(onElement?: (bytes: Buffer | null) => void): DocumentReader {
  const frame: Buffer[] = []
  let frameBytes = 0
  let values = 0
  let items = 0
  let depth = 0
  let inString = false
  let isEscaped = false
  /** State of the top-level object: the last key, and whether the value of the key comes next. */
  let isObject = false
  let key = ''
  let keyPieces: Buffer[] | null = null
  let isValueNext = false
  let inItems = false
  let hadItems = false
  /** The element being read; null after the element exceeded the size limit. */
  let element: Buffer[] | null = []
  let elementBytes = 0
  let hasElement = false

  function keep(part: Buffer): void {
    if (part.length === 0) return
    if (inItems) {
      elementBytes += part.length
      if (!hasElement) hasElement = part.some((byte) => !isBlank(byte))
      if (elementBytes > LINE_BYTES_MAX) element = null
      else if (onElement) element?.push(part)
      return
    }
    frameBytes += part.length
    if (frameBytes > FRAME_BYTES_MAX)
      throw new Problem('body_too_large', 'More than 1 MiB stands beside the items of the batch.')
    frame.push(part)
    keyPieces?.push(part)
  }
  function endElement(isLast: boolean): void {
    // `[]` has no element; `[1,]` and `[,1]` have an empty element, which is not JSON.
    if (!(isLast && !hasElement && items === 0)) {
      items += 1
      if (items === 1) frame.push(Buffer.from('null'))
      onElement?.(element && joined(element))
    }
    element = []
    elementBytes = 0
    hasElement = false
  }
  function atStringEnd(): void {
    if (!keyPieces) return
    const bytes = Buffer.concat(keyPieces)
    keyPieces = null
    key = bytes.length > KEY_BYTES_MAX ? '' : nameOf(bytes)
  }

  /** Handles a byte outside strings. @returns the start of the bytes not yet kept */
  function at(byte: number | undefined, piece: Buffer, index: number, from: number): number {
    const flushTo = (to: number) => {
      keep(piece.subarray(from, to))
      return to
    }
    if (byte === COMMA || byte === LIST || byte === OBJECT) {
      if (++values > VALUES_MAX)
        throw new Problem(
          'body_too_large',
          `The body has more than ${VALUES_MAX.toLocaleString('en')} values; send less in one request.`,
        )
    }
    switch (byte) {
      case QUOTE: {
        inString = true
        const isKey = isObject && depth === 1 && !isValueNext
        const next = isKey ? flushTo(index) : from
        if (isKey) keyPieces = []
        return next
      }
      case LIST:
      case OBJECT: {
        depth += 1
        if (depth === 1) isObject = byte === OBJECT
        const isItems = isObject && depth === 2 && isValueNext && key === ITEMS && byte === LIST && !hadItems
        if (!isItems) return from
        const next = flushTo(index + 1)
        inItems = true
        hadItems = true
        return next
      }
      case LIST_END:
      case OBJECT_END: {
        const isEnd = inItems && depth === 2
        const next = isEnd ? flushTo(index) : from
        if (isEnd) {
          endElement(true)
          inItems = false
        }
        depth -= 1
        return next
      }
      case COMMA: {
        if (depth === 1) isValueNext = false
        if (!inItems || depth !== 2) return from
        flushTo(index)
        endElement(false)
        return index + 1
      }
      case COLON:
        if (depth === 1) isValueNext = true
        return from
      default:
        return from
    }
  }

  function endOfString(piece: Buffer, start: number): number {
    for (let index = start; index < piece.length; index++) {
      if (isEscaped) isEscaped = false
      else if (piece[index] === BACKSLASH) isEscaped = true
      else if (piece[index] === QUOTE) return index
    }
    return piece.length
  }

  return {
    push(piece) {
      let from = 0
      for (let index = 0; index < piece.length; index++) {
        if (inString) {
          index = endOfString(piece, index)
          if (index === piece.length) break
          inString = false
          if (keyPieces) {
            keep(piece.subarray(from, index + 1))
            from = index + 1
            atStringEnd()
          }
        } else from = at(piece[index], piece, index, from)
      }
      keep(piece.subarray(from))
    },
    end: () => ({ bytes: Buffer.concat(frame), items }),
  }
}

/** Most elements arrive in one piece. */
const joined = (parts: readonly Buffer[]) => (parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts))

/** The text of a quoted key; the empty name for an invalid key. */
function nameOf(bytes: Buffer): string {
  const key = parseJson(bytes)
  return key !== null && 'value' in key && typeof key.value === 'string' ? key.value : ''
}

/**
 * The elements of `items`, numbered from 1 like lines; elements that end in the same piece are yielded together.
 * @throws Problem `malformed_json` at an invalid element, so nothing of the document is accepted
 */
export async function* readItemsOf(pieces: AsyncIterable<Buffer>): AsyncGenerator<Line[]> {
  let line = 0
  let found: Line[] = []
  const reader = createDocumentReader((bytes) => {
    line += 1
    found.push(bytes === null ? { line, broken: 'max_bytes' } : { line, ...parseElement(bytes) })
  })
  for await (const piece of pieces) {
    reader.push(piece)
    if (found.length === 0) continue
    yield found
    found = []
  }
}

function parseElement(bytes: Buffer) {
  const parsed = parseJson(bytes)
  if (parsed !== null && 'value' in parsed) return parsed
  throw parsed?.broken === 'utf8'
    ? new Problem('malformed_json', 'The body is not valid UTF-8.')
    : new Problem('malformed_json')
}
