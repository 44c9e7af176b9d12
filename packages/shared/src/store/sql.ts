// Statements with names. Postgres shows the name in pg_stat_statements and pg_stat_activity; tests and crash points
// recognise a statement by its name, never by its words.

import { createHash } from 'node:crypto'
import { Prisma } from './generated/client.ts'

/**
 * `prepared` is for statements that are frequent and long: Postgres parses and plans such a statement once for each
 * connection. The plan must not depend on the parameters. For all other statements a fresh plan is worth its cost.
 */
type Planning = 'planned' | 'prepared'

/** The tag of a statement. Fragments of statements use the tag of Prisma, and have no name. */
export const sql = {
  named:
    (name: string, planning: Planning = 'planned') =>
    (strings: readonly string[], ...values: readonly unknown[]): Prisma.Sql => {
      const { strings: texts, values: given } = Prisma.sql(strings, ...values)
      const [first = '', ...rest] = texts
      // After the first word: Postgres 18 drops comments before a statement from its statistics.
      return Prisma.sql(
        [first.replace(/^\s*(\w+)/, `$1 /* ${name}${planning === 'prepared' ? ' prepared' : ''} */`), ...rest],
        ...given,
      )
    },
}

const LABEL = /^\w+ \/\* ([\w.]+)( prepared)? \*\//

/** The name of a statement, from its text; null without a name. */
export const nameOf = (text: string) => LABEL.exec(text)?.[1] ?? null

/** Whether a connection keeps the plan of the statement. */
export const isPrepared = (text: string) => LABEL.exec(text)?.[2] !== undefined

const labels = new Map<string, string>()

/** The name under which Postgres keeps a statement; empty when Postgres does not keep the statement. */
export function preparedName(text: string): string {
  if (!isPrepared(text)) return ''
  // A statement has parts that differ; the hash makes a name stand for one text only.
  const label = labels.get(text) ?? `${nameOf(text)}_${createHash('sha1').update(text).digest('hex').slice(0, 16)}`
  labels.set(text, label)
  return label
}
