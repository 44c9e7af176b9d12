// Finds the one JSON object in a text that has more around it: notices of PHP, a byte order mark, a guard against
// script inclusion, the framing of server-sent events. Two objects, or a page for people, are no answer.

/** Objects tried before the text is given up. */
const TRIES_MAX = 50

/** The value of the text as JSON: as it is, inside a JSON string, or the only object among other words. Undefined: none. */
export function findJson(text: string): unknown {
  const plain = text.replace(/^\uFEFF/, '').replace(/^\)\]\}'?,?\s*/, '')
  const whole = parse(plain)
  if (typeof whole === 'string') return /^\s*\{/.test(whole) ? parse(whole) : whole
  return whole === undefined ? onlyObject(plain) : whole
}

function onlyObject(text: string): unknown {
  // JSON inside of a page is data of a script, and what follows a cut array or string is no answer.
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
    // An object that does not end: what is inside of it is not the answer.
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

/** The place behind the object that begins at `start`. */
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
 * The fields that were whole when a text of JSON was cut: the object closed behind its last whole field. Undefined when
 * there is none.
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
