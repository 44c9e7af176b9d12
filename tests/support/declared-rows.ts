// The row types that the store declares for its statements: the type argument of each `$queryRaw<Row[]>` of a named
// statement, as the compiler understands the type.

import { fileURLToPath } from 'node:url'
import type { Node } from 'typescript/unstable/ast'
import { isCallExpression, isStringLiteral, isTaggedTemplateExpression } from 'typescript/unstable/ast/is'
import { API, type Checker, type Type } from 'typescript/unstable/sync'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CONFIG = `${ROOT}packages/shared/tsconfig.json`

export type Kind = 'string' | 'number' | 'boolean' | 'date' | 'array' | 'other'
/** The kinds of the columns by name; null when the rows are only counted. */
export type DeclaredRow = Readonly<Record<string, Kind>> | null

/** The declared rows by the name of the statement. */
export function declaredRows(): ReadonlyMap<string, DeclaredRow> {
  const api = new API({ cwd: ROOT })
  try {
    const project = api.updateSnapshot({ openProjects: [CONFIG] }).getProject(CONFIG)
    if (!project) throw new Error('packages/shared is no project of TypeScript')
    const { program, checker } = project
    const rows = new Map<string, DeclaredRow>()
    for (const file of program.getSourceFileNames().filter((name) => name.includes('/packages/shared/src/store/'))) {
      const source = program.getSourceFile(file)
      if (source) visit(source, (node) => noteStatement(node, checker, rows))
    }
    return rows
  } finally {
    api.close()
  }
}

function visit(node: Node, see: (node: Node) => void): void {
  see(node)
  node.forEachChild((child) => {
    visit(child, see)
  })
}

function noteStatement(node: Node, checker: Checker, rows: Map<string, DeclaredRow>): void {
  if (!isCallExpression(node)) return
  const [statement] = node.arguments
  const [declared] = node.typeArguments ?? []
  if (!statement || !declared || !isTaggedTemplateExpression(statement)) return
  if (!isCallExpression(statement.tag)) return
  const [name] = statement.tag.arguments
  const type = checker.getTypeFromTypeNode(declared)
  if (!name || !isStringLiteral(name) || !type) return
  rows.set(name.text, rowOf(checker, type))
}

function rowOf(checker: Checker, rows: Type): DeclaredRow {
  const row = checker.getIndexInfosOfType(rows)[0]?.valueType
  if (!row) throw new Error(`no array of rows: ${checker.typeToString(rows)}`)
  if (checker.typeToString(row) === 'unknown') return null
  const columns = checker.getPropertiesOfType(row).map((column): [string, Kind] => {
    const type = checker.getTypeOfSymbol(column)
    return [column.name, type ? kindOf(checker, type) : 'other']
  })
  return Object.fromEntries(columns)
}

function kindOf(checker: Checker, nullable: Type): Kind {
  const type = checker.getNonNullableType(nullable) ?? nullable
  if (checker.isTypeAssignableTo(type, checker.getStringType())) return 'string'
  if (checker.isTypeAssignableTo(type, checker.getNumberType())) return 'number'
  if (checker.isTypeAssignableTo(type, checker.getBooleanType())) return 'boolean'
  if (checker.typeToString(type) === 'Date') return 'date'
  return checker.isArrayLikeType(type) ? 'array' : 'other'
}
