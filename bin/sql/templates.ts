// The templates of SQL in a TypeScript file get a new layout. Holes stay as they are.

import { print } from './document.ts'
import { layOut } from './layout.ts'
import { endOfTemplate, parseSql } from './tokens.ts'

export const COLUMNS_MAX = 100
/** A fragment up to this length may stay on a line of code, whose end Biome decides. */
const FRAGMENT_MAX = 72
const TAG = /(?:\bPrisma\.sql|\$queryRaw(?:<[^`]*?>)?|\$executeRaw|\bsql\.named\([^`]*?\)(?:<[^`]*?>)?)`/g

export interface Formatted {
  readonly source: string
  /** What the layout cannot repair, with its line. */
  readonly faults: readonly string[]
}

/** Lays out each template of SQL outside of other templates. @throws when a template is no balanced SQL */
export function formatSource(source: string): Formatted {
  let done = ''
  const faults: string[] = []
  TAG.lastIndex = 0
  let from = 0
  for (let found = TAG.exec(source); found !== null; found = TAG.exec(source)) {
    const start = found.index + found[0].length - 1
    const end = endOfTemplate(source, start)
    done += source.slice(from, start)
    const lineStart = done.lastIndexOf('\n') + 1
    const sql = source.slice(start + 1, end - 1)
    const formatted = formatTemplate(sql, done.slice(lineStart), lineEnd(source, end))
    faults.push(...faultsOf(formatted, done))
    done += `\`${formatted}\``
    from = end
    TAG.lastIndex = end
  }
  return { source: done + source.slice(from), faults }
}

const lineEnd = (source: string, from: number) => source.slice(from, source.indexOf('\n', from))

/** @param before the line's text before the template. @param after the line's text after the template */
function formatTemplate(sql: string, before: string, after: string): string {
  if (sql.trim() === '') return sql
  const margin = before.length - before.trimStart().length
  const columns = (text: string) => before.length + text.length + after.length + 2
  const isOneLine = !sql.includes('\n') && (columns(sql) <= COLUMNS_MAX || sql.length <= FRAGMENT_MAX)
  if (isOneLine && !/\s{2}/.test(sql)) return sql
  const nodes = parseSql(sql)
  if (nodes.length === 1 && nodes[0]?.kind === 'atom') return sql
  const printed = print(layOut(nodes), margin + 2, COLUMNS_MAX)
  if (withoutSpace(printed) !== withoutSpace(sql)) throw new Error(`the layout lost a part of ${sql}`)
  const last = nodes.at(-1)
  const endsInComment = last?.kind === 'atom' && last.text === ''
  const isShort = !printed.includes('\n') && printed.length <= FRAGMENT_MAX && columns(printed) <= COLUMNS_MAX
  if (isShort && !endsInComment && !/^ /.test(sql)) return printed + (/ $/.test(sql) ? ' ' : '')
  const space = ' '.repeat(margin)
  return `\n${space}  ${printed}${endsInComment ? `\n${space}` : / $/.test(sql) ? ' ' : ''}`
}

const withoutSpace = (text: string) => text.replace(/\s+/g, '')

function faultsOf(sql: string, before: string): string[] {
  const firstLine = before.split('\n').length
  return sql
    .split('\n')
    .flatMap((line, index) =>
      index > 0 && line.length > COLUMNS_MAX
        ? [`${firstLine + index} has ${line.length} columns: name a part of it, or a hole`]
        : [],
    )
}
