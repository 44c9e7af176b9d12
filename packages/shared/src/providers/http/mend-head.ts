// Repairs the head of an HTTP/1 reply for a strict parser: a wrong header must not lose the body, because the body may
// name a paid task. When the head contradicts itself about the length, the body decides.

import { Buffer } from 'node:buffer'

interface Head {
  readonly httpStatus: number
  readonly lines: readonly string[]
  readonly body: Buffer
  /** The head has line ends or characters refused by a strict parser. */
  readonly isOdd: boolean
}

/**
 * The beginning of a reply with a parsable head; interim replies (1xx) are skipped. Null: more bytes are needed. Bytes
 * that are not HTTP are returned unchanged.
 */
export function mendHead(received: Buffer): Buffer | null {
  let rest = received
  for (;;) {
    const head = readHead(rest)
    if (head === null || head === 'not_http') return head === null ? null : received
    if (head.httpStatus < 100 || head.httpStatus > 199 || head.httpStatus === 101) return mend(head, rest)
    rest = head.body
  }
}

function readHead(received: Buffer): Head | 'not_http' | null {
  const text = received.toString('latin1')
  const start = /^[\r\n]*/.exec(text)?.[0].length ?? 0
  if (!'HTTP/'.startsWith(text.slice(start, start + 5))) return 'not_http'
  const end = /\r?\n\r?\n/.exec(text.slice(start))
  if (end === null) return null
  const head = text.slice(start, start + end.index)
  const [, status] = /^HTTP\/[\d.]+\s+(\d{3})\b/.exec(head) ?? []
  if (status === undefined) return 'not_http'
  return {
    httpStatus: Number(status),
    lines: head.split(/\r?\n/),
    body: received.subarray(start + end.index + end[0].length),
    isOdd: start > 0 || /(?<!\r)\n/.test(head + end[0]) || !/^HTTP\/1\.[01] \d{3}(?: |\r|$)/.test(head),
  }
}

function mend({ httpStatus, lines, body, isOdd }: Head, received: Buffer): Buffer | null {
  const { headers, hasOddHeader } = readHeaders(lines.slice(1))
  const hasBody = httpStatus !== 204 && httpStatus !== 304 && httpStatus !== 101
  const lengthsNamed = valuesOf(headers, 'content-length')
  const lengths = new Set(lengthsNamed)
  const codings = valuesOf(headers, 'transfer-encoding').map((value) => value.toLowerCase())
  const length = lengths.size === 1 ? [...lengths][0] : undefined
  const isChunked = codings.length > 0 && hasBody ? looksChunked(body) : false
  if (isChunked === null) return null

  const keptLength = isChunked || length === undefined || !/^\d{1,15}$/.test(length) ? undefined : Number(length)
  // Some servers count characters instead of bytes: the bytes beyond the length still belong to the body.
  const isTooShort = hasBody && keptLength !== undefined && body.length > keptLength
  const isContradictory =
    lengthsNamed.length > 1 ||
    (lengths.size === 1 && (keptLength === undefined || codings.length > 0)) ||
    (codings.length > 0 && hasBody && (!isChunked || !codings.at(-1)?.endsWith('chunked')))
  if (!isOdd && !hasOddHeader && !isContradictory && !isTooShort) return received

  const kept = headers.filter(([name]) => !FRAMING.has(name.toLowerCase()))
  if (isChunked) kept.push(['transfer-encoding', 'chunked'])
  else if (keptLength !== undefined) kept.push(['content-length', String(isTooShort ? body.length : keptLength)])
  kept.push(['connection', 'close'])
  const head = [`HTTP/1.1 ${httpStatus} Mended`, ...kept.map(([name, value]) => `${name}: ${value}`), '', '']
  return Buffer.concat([Buffer.from(head.join('\r\n'), 'latin1'), body])
}

const FRAMING: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding', 'connection', 'keep-alive'])

/** The readable headers: folded lines are joined, control characters and lines without a name are dropped. */
function readHeaders(lines: readonly string[]): { headers: [name: string, value: string][]; hasOddHeader: boolean } {
  const headers: [string, string][] = []
  let hasOddHeader = false
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~\w-]+):(.*)$/.exec(line) ?? []
    const last = headers.at(-1)
    if (name !== undefined && value !== undefined) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: a parser refuses these characters.
      const clean = value.replace(/[\x00-\x08\x0a-\x1f\x7f]/g, '')
      if (clean !== value) hasOddHeader = true
      headers.push([name, clean.trim()])
      continue
    }
    hasOddHeader = true
    if (/^[ \t]/.test(line) && last) last[1] = `${last[1]} ${line.trim()}`
  }
  return { headers, hasOddHeader }
}

function valuesOf(headers: readonly [name: string, value: string][], wanted: string): string[] {
  return headers
    .filter(([name]) => name.toLowerCase() === wanted)
    .flatMap(([, value]) => value.split(',').map((part) => part.trim()))
}

/** Whether the body begins with a chunk size; null: more bytes are needed. */
function looksChunked(body: Buffer): boolean | null {
  const line = body.subarray(0, 256).toString('latin1')
  if (/^[0-9a-f]{1,8}[ \t]*(;[^\n]*)?\r?\n/i.test(line)) return true
  return /^[0-9a-f]{0,8}[ \t]*(;[^\n]*|\r)?$/i.test(line) && body.length < 256 ? null : false
}
