// The tokens of a template of SQL, as a tree of parentheses and CASE expressions. A hole (`${…}`) is one token. Words
// are keywords only in capital letters.

interface Atom {
  readonly kind: 'atom'
  readonly text: string
  /** Whether white space stands before the token. */
  readonly hasGap: boolean
  /** The line comments before the token. */
  readonly comments: readonly string[]
}
interface Branch {
  /** In parentheses or brackets, or from CASE to END. */
  readonly kind: 'parens' | 'case'
  readonly open: string
  readonly nodes: readonly SqlNode[]
  readonly close: string
  readonly hasGap: boolean
  readonly comments: readonly string[]
}
export type SqlNode = Atom | Branch

const TOKEN =
  /(?<gap>\s+)|(?<comment>--[^\n]*)|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|"[^"]*"|(?<word>\w+)|[()[\],;.]|::|[^\s\w()[\],;.'"$:-]+|[$:-]/y
const CLOSES: Readonly<Record<string, string>> = { '(': ')', '[': ']', CASE: 'END' }

/** @throws when parentheses or CASE expressions do not match */
export function parseSql(sql: string): SqlNode[] {
  const tokens = tokensOf(sql)
  const nodes = parseUntil(tokens, undefined)
  return nodes
}

function parseUntil(tokens: Atom[], close: string | undefined): SqlNode[] {
  const nodes: SqlNode[] = []
  for (let token = tokens.shift(); token !== undefined; token = tokens.shift()) {
    if (token.text === close) {
      // Comments before the end stay a node of their own.
      if (token.comments.length > 0) nodes.push({ ...token, text: '' })
      return nodes
    }
    const { text: open, hasGap, comments } = token
    const end = CLOSES[open]
    if (end === undefined) nodes.push(token)
    else
      nodes.push({
        kind: open === 'CASE' ? 'case' : 'parens',
        open,
        nodes: parseUntil(tokens, end),
        close: end,
        hasGap,
        comments,
      })
  }
  if (close !== undefined) throw new Error(`${close} is missing`)
  return nodes
}

function tokensOf(sql: string): Atom[] {
  const tokens: Atom[] = []
  let hasGap = false
  let comments: string[] = []
  const add = (text: string) => {
    tokens.push({ kind: 'atom', text, hasGap, comments })
    hasGap = false
    comments = []
  }
  for (let at = 0; at < sql.length; ) {
    if (sql.startsWith('${', at)) {
      const end = endOfHole(sql, at)
      add(sql.slice(at, end))
      at = end
      continue
    }
    TOKEN.lastIndex = at
    const found = TOKEN.exec(sql)
    if (!found) throw new Error(`no SQL: ${sql.slice(at, at + 20)}`)
    const [text] = found
    if (found.groups?.gap !== undefined) hasGap = true
    else if (found.groups?.comment !== undefined) comments.push(text.trimEnd())
    else add(text)
    at += text.length
  }
  if (comments.length > 0) add('')
  return tokens
}

/** The index after the `}` that ends the hole at `start`. Strings and templates inside the hole may contain braces. */
function endOfHole(source: string, start: number): number {
  let depth = 0
  for (let at = start + 1; at < source.length; at++) {
    const char = source[at]
    if (char === '{') depth += 1
    else if (char === '}') {
      depth -= 1
      if (depth === 0) return at + 1
    } else if (char === "'" || char === '"') at = endOfString(source, at, char)
    else if (char === '`') at = endOfTemplate(source, at) - 1
  }
  throw new Error('a hole without an end')
}

function endOfString(source: string, start: number, quote: string): number {
  for (let at = start + 1; at < source.length; at++) {
    if (source[at] === '\\') at += 1
    else if (source[at] === quote) return at
  }
  throw new Error('a string without an end')
}

/** The index after the backtick that ends the template whose first backtick stands at `start`. */
export function endOfTemplate(source: string, start: number): number {
  for (let at = start + 1; at < source.length; at++) {
    if (source[at] === '\\') at += 1
    else if (source.startsWith('${', at)) at = endOfHole(source, at) - 1
    else if (source[at] === '`') return at + 1
  }
  throw new Error('a template without an end')
}
