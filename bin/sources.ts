import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../', import.meta.url))
const SOURCE = /\.(ts|tsx|mjs)$/
const NOT_OURS = /(^|\/)(node_modules|generated|dist)(\/|$)/

/** The project's own source files below `folders`, as paths relative to `ROOT`. */
export function sources(folders: readonly string[]): string[] {
  return folders
    .flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && SOURCE.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .filter((file) => !NOT_OURS.test(file))
}
