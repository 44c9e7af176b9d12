// Keys that occur twice in one object of a JSON text. JavaScript keeps the last of the two values, other programs the
// first: a value checked by a program in between would not be the value that is paid for.

type Path = readonly (string | number)[]

const FOUND_MAX = 100
const [QUOTE, COLON, BACKSLASH] = [0x22, 0x3a, 0x5c]
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gsu

/**
 * The repeated keys, each with its path; the first hundred. A text without repeated keys costs one count of its keys.
 * `text` must be valid JSON, and `value` the parsed text.
 */
export function findDuplicateKeys(text: string, value: unknown): readonly Path[] {
  return countKeysIn(text) === countKeysOf(value) ? NONE : scan(text)
}

const NONE: readonly Path[] = []

/** Colons outside strings. */
function countKeysIn(text: string): number {
  let count = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfString(text, at)
    else if (code === COLON) count++
  }
  return count
}

/** The position of the closing quote of the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes++
    if (escapes % 2 === 0) return end
  }
  return text.length
}

/** Without recursion, because nothing bounds the depth yet. */
function countKeysOf(root: unknown): number {
  let count = 0
  const open: unknown[] = [root]
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== 'object' || value === null) continue
    const inner = Object.values(value)
    if (!Array.isArray(value)) count += inner.length
    for (const one of inner) if (typeof one === 'object' && one !== null) open.push(one)
  }
  return count
}

function scan(text: string): Path[] {
  const found: Path[] = []
  /** For each open list its index, for each open object the key being read. */
  const path: (string | number)[] = []
  /** For each open object its keys so far. */
  const keys: Set<string>[] = []
  let last = ''
  for (const [token] of text.matchAll(TOKEN)) {
    const at = path.length - 1
    const index = path[at]
    if (token === '{') {
      path.push('')
      keys.push(new Set())
    } else if (token === '[') path.push(0)
    else if (token === '}' || token === ']') {
      path.pop()
      if (token === '}') keys.pop()
    } else if (token === ',') {
      if (typeof index === 'number') path[at] = index + 1
    } else if (token === ':') {
      const key = JSON.parse(last) as string
      path[at] = key
      const known = keys.at(-1)
      if (known?.has(key) && found.push([...path]) === FOUND_MAX) return found
      known?.add(key)
    } else last = token
  }
  return found
}
