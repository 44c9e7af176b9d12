// Where the lines of a SQL statement may end: one clause a line, then conditions at AND and OR, then lists at commas.

import { between, type Doc, fill, group, HARD_LINE, indent, LINE, SOFT_LINE } from './document.ts'
import type { SqlNode } from './tokens.ts'

/** The beginnings of clauses; of two beginnings that match, the first one counts. */
const CLAUSES = [
  'WITH RECURSIVE',
  'WITH',
  'SELECT DISTINCT',
  'SELECT',
  'INSERT INTO',
  'DELETE FROM',
  'FOR NO KEY UPDATE',
  'FOR UPDATE',
  'FOR SHARE',
  'FOR KEY SHARE',
  'UPDATE',
  'VALUES',
  'SET',
  'FROM',
  'CROSS JOIN LATERAL',
  'LEFT JOIN LATERAL',
  'CROSS JOIN',
  'LEFT JOIN',
  'JOIN LATERAL',
  'JOIN',
  'WHERE',
  'PARTITION BY',
  'GROUP BY',
  'HAVING',
  'ORDER BY',
  'LIMIT',
  'OFFSET',
  'UNION ALL',
  'UNION',
  'EXCEPT',
  'ON CONFLICT',
  'RETURNING',
].map((words) => words.split(' '))
/** A sequence that begins with one of these words is a query or the end of a query. */
const BEGINNINGS = new Set(CLAUSES.map(([word]) => word))
/** Words after which such a beginning belongs to the clause before: `IS DISTINCT FROM`, `ON CONFLICT … DO UPDATE`. */
const BEFORE: Readonly<Record<string, string>> = { FROM: 'DISTINCT', UPDATE: 'DO' }

/** The document of a whole statement or fragment. */
export function layOut(nodes: readonly SqlNode[], itemsAtOnce = 1): Doc {
  return isQuery(nodes) ? clausesDoc(nodes) : layOutList(nodes, itemsAtOnce)
}

const wordOf = (node: SqlNode | undefined) => (node?.kind === 'atom' ? node.text : undefined)

function isQuery(nodes: readonly SqlNode[]): boolean {
  const first = nodes.find((node) => !(node.kind === 'atom' && /^(\$\{|\/\*)/.test(node.text)))
  if (BEGINNINGS.has(wordOf(first) ?? '')) return true
  return nodes.some((node) => wordOf(node) === 'UNION')
}

function clausesDoc(nodes: readonly SqlNode[]): Doc {
  const clauses: { words: number; nodes: SqlNode[] }[] = []
  for (let at = 0; at < nodes.length; ) {
    // Comments at the end are a line of their own.
    const words = wordOf(nodes[at]) === '' ? 1 : clauseAt(nodes, at)
    const last = clauses.at(-1)
    if (words > 0 || last === undefined) clauses.push({ words, nodes: nodes.slice(at, at + Math.max(1, words)) })
    else last.nodes.push(...nodes.slice(at, at + 1))
    at += Math.max(1, words)
  }
  return between(clauses.map(clauseDoc), LINE)
}

/** The number of words of the clause's beginning at this place; 0: no clause begins here. */
function clauseAt(nodes: readonly SqlNode[], at: number): number {
  const before = wordOf(nodes[at - 1])
  if (before !== undefined && BEFORE[wordOf(nodes[at]) ?? ''] === before) return 0
  return CLAUSES.find((words) => words.every((word, index) => wordOf(nodes[at + index]) === word))?.length ?? 0
}

function clauseDoc({ words, nodes }: { words: number; nodes: SqlNode[] }): Doc {
  const name = nodes.slice(0, words)
  const body = nodes.slice(words)
  if (name.length === 0) return group(layOutList(body))
  if (body.length === 0) return chainDoc(name)
  if (wordOf(name[0]) === 'WITH') return [chainDoc(name), ' ', tablesDoc(itemsOf(body))]
  const isAlone = wordOf(name[0]) === 'UNION' || (body[0]?.comments.length ?? 0) > 0
  const doc: Doc = [isAlone ? HARD_LINE : ' ', layOutList(body)]
  return group([chainDoc(name), hangs(body) ? indent(doc) : doc])
}

/** Common table expressions: the end of one and the beginning of the next share a line, unless a comment is between. */
function tablesDoc(items: readonly SqlNode[][]): Doc {
  return items.map((item, index) => {
    const hasComment = (item[0]?.comments.length ?? 0) > 0
    return [index === 0 ? '' : hasComment ? HARD_LINE : ' ', chainDoc(item)]
  })
}

/** Items between commas; a line takes as many items as fit. */
function layOutList(nodes: readonly SqlNode[], itemsAtOnce = 1): Doc {
  const items = inTurns(itemsOf(nodes), itemsAtOnce)
  const [only = []] = items
  return items.length <= 1 ? conditionDoc(only) : fill(items.map((item) => hanging(item)))
}

/** Joins the items in groups of `count`. */
function inTurns(items: readonly SqlNode[][], count: number): SqlNode[][] {
  if (count === 1) return [...items]
  return items.flatMap((_, index) => (index % count === 0 ? [items.slice(index, index + count).flat()] : []))
}

/** Splits at commas; each comma ends its item. */
function itemsOf(nodes: readonly SqlNode[]): SqlNode[][] {
  const items: SqlNode[][] = [[]]
  for (const node of nodes) {
    items.at(-1)?.push(node)
    if (wordOf(node) === ',') items.push([])
  }
  return items.filter((item) => item.length > 0)
}

/** A part of a list or condition: its further lines are indented, and comments before the part are not. */
function hanging(nodes: readonly SqlNode[]): Doc {
  const [first, ...rest] = nodes
  if (first === undefined) return ''
  const doc = conditionDoc([{ ...first, comments: [] }, ...rest])
  const comments = first.comments.flatMap((comment): Doc[] => [comment, HARD_LINE])
  return [comments, group(hangs(itemsOf(nodes).at(-1) ?? []) ? indent(doc) : doc)]
}

/** Whether further lines of the nodes are indented. Not when only parentheses or CASE break: both indent their contents. */
function hangs(nodes: readonly SqlNode[]): boolean {
  if (itemsOf(nodes).length > 1 || nodes.every((node) => node.kind === 'atom')) return true
  return [isOr, isAnd, isSum, isProduct].some((isSeparator) => partsOf(nodes, isSeparator).length > 1)
}

/** Splits at OR, else at AND, else at the arithmetic operators that bind least. Each part but the first begins with its operator. */
function conditionDoc(nodes: readonly SqlNode[]): Doc {
  for (const isSeparator of [isOr, isAnd]) {
    const parts = partsOf(nodes, isSeparator)
    if (parts.length > 1) return group(between(parts.map(operandDoc), LINE))
  }
  for (const isSeparator of [isSum, isProduct]) {
    const terms = partsOf(nodes, isSeparator)
    if (terms.length > 1) return group(between(terms.map(chainDoc), LINE))
  }
  return chainDoc(nodes)
}

function operandDoc(nodes: readonly SqlNode[]): Doc {
  const [first, ...rest] = nodes
  if (first === undefined || !['AND', 'OR'].includes(wordOf(first) ?? '')) return hanging(nodes)
  return [chainDoc([first]), ' ', hanging(rest)]
}

type IsSeparator = (node: SqlNode, before: readonly SqlNode[]) => boolean
const isOr: IsSeparator = (node) => wordOf(node) === 'OR'
// The AND of a BETWEEN separates nothing.
const isAnd: IsSeparator = (node, before) =>
  wordOf(node) === 'AND' &&
  wordOf(before.findLast((one) => ['AND', 'BETWEEN'].includes(wordOf(one) ?? ''))) !== 'BETWEEN'
const isOperator =
  (operators: readonly string[]): IsSeparator =>
  (node, before) =>
    node.kind === 'atom' && node.hasGap && operators.includes(node.text) && before.length > 0
const isSum = isOperator(['+', '-', '||'])
const isProduct = isOperator(['*', '/'])

function partsOf(nodes: readonly SqlNode[], isSeparator: IsSeparator): SqlNode[][] {
  const parts: SqlNode[][] = [[]]
  nodes.forEach((node, index) => {
    if (index > 0 && isSeparator(node, nodes.slice(0, index))) parts.push([])
    parts.at(-1)?.push(node)
  })
  return parts
}

/** Nodes one after the other. Only parentheses and CASE may break; without both, the line ends where it is full. */
function chainDoc(nodes: readonly SqlNode[]): Doc {
  if (nodes.every((node) => node.kind === 'atom')) return atomsDoc(nodes)
  return nodes.map((node, index) => [spaceBefore(node, index), nodeDoc(node, wordOf(nodes[index - 1]) ?? '')])
}

function nodeDoc(node: SqlNode, before: string): Doc {
  if (node.kind === 'atom') return node.text
  return node.kind === 'case' ? caseDoc(node.nodes) : parensDoc(node, before)
}

function spaceBefore(node: SqlNode, index: number): Doc {
  if (node.comments.length > 0) {
    // After the last comment, the end of the branch ends the line.
    return [index > 0 ? HARD_LINE : '', between(node.comments, HARD_LINE), wordOf(node) === '' ? '' : HARD_LINE]
  }
  return index > 0 && node.hasGap ? ' ' : ''
}

function atomsDoc(nodes: readonly SqlNode[]): Doc {
  const words: Doc[][] = []
  nodes.forEach((node, index) => {
    if (index === 0 || (node.hasGap && node.comments.length === 0)) words.push([])
    const isFirst = words.at(-1)?.length === 0
    words.at(-1)?.push(isFirst && node.comments.length === 0 ? '' : spaceBefore(node, index), wordOf(node) ?? '')
  })
  return fill(words)
}

/** @param before the word before: after AS, the query of a common table expression has one clause a line */
function parensDoc(
  { open, nodes, close }: { open: string; nodes: readonly SqlNode[]; close: string },
  before: string,
): Doc {
  if (nodes.length === 0) return open + close
  const end = ['AS', 'MATERIALIZED'].includes(before) && isQuery(nodes) ? HARD_LINE : SOFT_LINE
  // Keys stay beside their values.
  const itemsAtOnce = /^jsonb?_build_object$/.test(before) ? 2 : 1
  return group([open, indent([end, layOut(nodes, itemsAtOnce)]), end, close])
}

/** CASE, then one line for each WHEN and for ELSE. */
function caseDoc(nodes: readonly SqlNode[]): Doc {
  const branches = partsOf(nodes, (node) => ['WHEN', 'ELSE'].includes(wordOf(node) ?? ''))
  return group(['CASE', indent([LINE, between(branches.map(branchDoc), LINE)]), LINE, 'END'])
}

/** A line may end before THEN. */
function branchDoc(nodes: readonly SqlNode[]): Doc {
  const [condition = [], value] = partsOf(nodes, (node) => wordOf(node) === 'THEN')
  return group([afterWord(condition), value === undefined ? '' : indent([LINE, afterWord(value)])])
}

/** WHEN, THEN or ELSE with what follows the word; CASE may be followed by a value without a word. */
function afterWord(nodes: readonly SqlNode[]): Doc {
  const [first, ...rest] = nodes
  if (first === undefined || !['WHEN', 'THEN', 'ELSE'].includes(wordOf(first) ?? '')) return hanging(nodes)
  return [chainDoc([first]), ' ', hanging(rest)]
}
