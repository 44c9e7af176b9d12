// Reads the imports of a source file, type-only imports included, and finds the imports that cross a boundary.

import { posix } from 'node:path'
import type { Room } from './rooms.ts'

const IMPORTS = /^\s*(?:import|export)\b[^'";]*?\bfrom '([^']+)'|^\s*import '([^']+)'|\bimport\('([^']+)'\)/gm
const WORKSPACES: Readonly<Record<string, string>> = {
  api: 'apps/api',
  contract: 'packages/contract',
  shared: 'packages/shared',
  simulator: 'apps/simulator',
  worker: 'apps/worker',
}

/** The specifiers that `text` imports or re-exports from. */
export function importsOf(text: string): string[] {
  return [...text.matchAll(IMPORTS)].flatMap((match) => match[1] ?? match[2] ?? match[3] ?? [])
}

/** One sentence for each import of `file` that the table does not allow. */
export function crossings(file: string, text: string, rooms: readonly Room[]): string[] {
  const from = roomOf(file, rooms)
  if (!from) return []
  return importsOf(text).flatMap((specifier) => {
    const target = fileOf(file, specifier)
    if (target === null) {
      return specifier.startsWith('node:') || allows(from.packages, specifier)
        ? []
        : [`${file}: ${from.path} may not import the package ${specifier}`]
    }
    const to = roomOf(target, rooms)?.path ?? target
    return to === from.path || from.rooms.includes(to) ? [] : [`${file}: ${from.path} may not import ${to}`]
  })
}

function roomOf(file: string, rooms: readonly Room[]): Room | undefined {
  return rooms
    .filter(({ path }) => file === path || file.startsWith(`${path}/`))
    .toSorted((a, b) => b.path.length - a.path.length)[0]
}

/** The source file that a specifier names, relative to the project; null for an npm package. */
function fileOf(file: string, specifier: string): string | null {
  if (specifier.startsWith('.')) return posix.join(posix.dirname(file), specifier)
  const [, name, ...path] = /^@reelqueue\//.test(specifier) ? specifier.split('/') : []
  const workspace = name === undefined ? undefined : WORKSPACES[name]
  return workspace === undefined ? null : `${workspace}/src/${path.join('/')}.ts`
}

function allows(packages: readonly string[], specifier: string): boolean {
  return packages.some((name) =>
    name.endsWith('/') ? specifier.startsWith(name) : specifier === name || specifier.startsWith(`${name}/`),
  )
}
