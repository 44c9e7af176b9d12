// Finds the only JSON object in a text with surrounding text: PHP notices, a byte order mark, a guard against script
// inclusion, server-sent event framing. Two objects or an HTML page give no value.

/** Limit of tried objects. */
const TRIES_MAX = 50

/**
 * The JSON value of a text: the whole text, JSON inside a JSON string, or the only object among other text. Undefined
 * without a value.
 */
export function findJson(text: string): unknown {
  const plain = text.replace(/^\uFEFF/, '').replace(/^\)\]\}'?,?\s*/, '')
  const whole = parse(plain)
  if (typeof whole === 'string') return /^\s*\{/.test(whole) ? parse(whole) : whole
  return whole === undefined ? onlyObject(plain) : whole
}

function onlyObject(text: string): unknown {
  // JSON inside a page is script data, and text after a truncated array or string is not a reply.
  if (/<(!doctype|html|head|body|script|title)\b/i.test(text) || /^\s*["[]/.test(text)) return undefined
  return firstOfOne(text)
}

function firstOfOne(text: string): unknown {
  let found: unknown
  let tries = 0
  for (let start = text.indexOf('{'); start >= 0; start = text.indexOf('{', start)) {
    if (++tries > TRIES_MAX) return undefined
    if (!/^\{\s*(["}]|$)/.test(text.slice(start, start + 1_000))) {
      start++
      continue
    }
    const end = endOf(text, start)
    // The inner parts of an unfinished object are not the reply.
    if (end === null) return undefined
    const value = parse(text.slice(start, end))
    if (value !== undefined) {
      if (found !== undefined) return undefined
      found = value
    }
    start = end
  }
  return found
}

/** The index after the object that begins at `start`. */
function endOf(text: string, start: number): number | null {
  let depth = 0
  let isString = false
  for (let place = start; place < text.length; place++) {
    const character = text[place]
    if (isString) {
      if (character === '\\') place++
      else if (character === '"') isString = false
    } else if (character === '"') isString = true
    else if (character === '{' || character === '[') depth++
    else if ((character === '}' || character === ']') && --depth === 0) return place + 1
  }
  return null
}

/**
 * The complete fields of a truncated JSON text: the object closed after the last complete field. Undefined without a
 * complete field.
 */
export function whatCame(text: string): unknown {
  const open: string[] = []
  let last: { end: number; open: string } | null = null
  let isString = false
  for (let place = text.search(/\S/); place >= 0 && place < text.length; place++) {
    const character = text[place]
    if (isString) {
      if (character === '\\') place++
      else if (character === '"') isString = false
    } else if (character === '"') isString = true
    else if (character === '{' || character === '[') open.push(character === '{' ? '}' : ']')
    else if (character === ',' && open.length > 0) last = { end: place, open: [...open].reverse().join('') }
    else if (character === '}' || character === ']') open.pop()
    if (open.length > 100) return undefined
  }
  return last === null ? undefined : parse(text.slice(0, last.end) + last.open)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
