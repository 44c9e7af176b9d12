// Numbers of JSON that JavaScript cannot keep: they would come back as others, and two different ones would be the same.

/** Such as `1234567890123456789` in `metadata.order_id`. */
export interface InexactNumber {
  readonly path: readonly PropertyKey[]
}

/** Sixteen digits may be too many, and an exponent may hide any number; every other number comes back as it was. */
const SUSPECT = /[\d.]{16}|\d[eE][+-]?\d/
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[{}[\],:]/gsu
const NUMBERS_MAX = 100

/**
 * Whether JSON, JavaScript and Postgres write a parsed number as the same one: no integer beyond 2^53, whose neighbours are read as the
 * same, nothing too large, and no -0. Of others only the text tells (`findInexactNumbers`).
 */
export function isKeptNumber(value: number): boolean {
  return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value)) && !Object.is(value, -0)
}

/**
 * Finds the numbers of a JSON text that do not come back as they were written, though their value does not show it; the first hundred.
 * Most texts cost one look with a regular expression. `text` must be valid JSON.
 */
export function findInexactNumbers(text: string): readonly InexactNumber[] {
  return SUSPECT.test(text) ? scan(text) : NONE
}

const NONE: readonly InexactNumber[] = []

function scan(text: string): InexactNumber[] {
  const found: InexactNumber[] = []
  /** Of each open list the index, of each open object the key that is being read. */
  const path: (string | number)[] = []
  let key = ''
  for (const [token] of text.matchAll(TOKEN)) {
    const last = path.length - 1
    const at = path[last]
    if (token === '{') path.push('')
    else if (token === '[') path.push(0)
    else if (token === '}' || token === ']') path.pop()
    else if (token === ':') path[last] = key
    else if (token === ',') {
      if (typeof at === 'number') path[last] = at + 1
    } else if (token.startsWith('"')) key = token
    else if (!isExact(token) && found.push({ path: path.map(nameOf) }) === NUMBERS_MAX) return found
  }
  return found
}

const nameOf = (part: string | number) => (typeof part === 'number' ? part : (JSON.parse(part) as string))

/** Whether the number that JavaScript keeps is written with the same digits, or shows by itself that it is not the one that came. */
function isExact(token: string): boolean {
  const kept = Number(token)
  return !isKeptNumber(kept) || normal(token) === normal(String(kept))
}

/** Digits without zeros at either end, and the power of ten of the last: `1.50e3` and `1500` are both `15e2`. */
function normal(token: string): string {
  const [mantissa = '', exponent = '0'] = token.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.')
  const digits = (whole + fraction).replace(/^0+/, '')
  const short = digits.replace(/0+$/, '')
  return short === '' ? '0' : `${short}e${Number(exponent) - fraction.length + digits.length - short.length}`
}
