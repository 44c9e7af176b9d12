// JSON numbers that JavaScript cannot keep: the number would come back changed, and two different numbers would become
// equal.

/** Such as `1234567890123456789` in `metadata.order_id`. */
export interface InexactNumber {
  readonly path: readonly PropertyKey[]
}

/** Sixteen digits may be too many, and an exponent may hide any number. Every other number comes back unchanged. */
const SUSPECT = /[\d.]{16}|\d[eE][+-]?\d/
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[{}[\],:]/gsu
const NUMBERS_MAX = 100

/**
 * Whether JSON, JavaScript and Postgres write a parsed number as the same number: no integer beyond 2^53, because
 * neighbouring integers are read as the same number; no number that is too large; and no -0. For other numbers only the
 * text can tell (`findInexactNumbers`).
 */
export function isKeptNumber(value: number): boolean {
  return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value)) && !Object.is(value, -0)
}

/**
 * Finds the numbers of a JSON text that do not come back as written, although their value does not show the change; the
 * first hundred. Most texts cost one test with a regular expression. `text` must be valid JSON.
 */
export function findInexactNumbers(text: string): readonly InexactNumber[] {
  return SUSPECT.test(text) ? scan(text) : NONE
}

const NONE: readonly InexactNumber[] = []

function scan(text: string): InexactNumber[] {
  const found: InexactNumber[] = []
  /** For each open list its index, for each open object the key being read. */
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

/**
 * Whether JavaScript writes the kept number with the same digits, or `isKeptNumber` already rejects the kept number.
 */
function isExact(token: string): boolean {
  const kept = Number(token)
  return !isKeptNumber(kept) || normal(token) === normal(String(kept))
}

/**
 * The digits without zeros at either end, and the power of ten of the last digit: `1.50e3` and `1500` are equally
 * `15e2`.
 */
function normal(token: string): string {
  const [mantissa = '', exponent = '0'] = token.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.')
  const digits = (whole + fraction).replace(/^0+/, '')
  const short = digits.replace(/0+$/, '')
  return short === '' ? '0' : `${short}e${Number(exponent) - fraction.length + digits.length - short.length}`
}
