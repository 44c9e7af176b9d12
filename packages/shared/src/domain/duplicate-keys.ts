// Keys that a JSON text gives twice in one object. Of two values JavaScript keeps the last, other programs the first: what somebody
// in between has checked would not be what is paid for.

type Path = readonly (string | number)[]

const FOUND_MAX = 100
const [QUOTE, COLON, BACKSLASH] = [0x22, 0x3a, 0x5c]
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gsu

/**
 * The keys that are given again, each with its path; the first hundred. Texts without any cost a count of their keys.
 * `text` must be valid JSON, and `value` what it was parsed to.
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

/** Of the string that begins at `start`, where its closing quote is. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes++
    if (escapes % 2 === 0) return end
  }
  return text.length
}

/** Without recursion: nothing bounds yet how deep it goes. */
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
  /** Of each open list the index, of each open object the key that is being read. */
  const path: (string | number)[] = []
  /** Of each open object the keys so far. */
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
