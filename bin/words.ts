// A part of `npm run check`: fails on comments that a reader has to decode, and names each fault with its place.

import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { faultsOf, readComments } from './words/comments.ts'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
const FOLDERS = ['apps', 'packages', 'bin', 'bench', 'tests']
const SOURCE = /\.(ts|tsx|mjs)$/
const NOT_OURS = /(^|\/)(node_modules|generated|dist)(\/|$)/

const files = FOLDERS.flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile() && SOURCE.test(entry.name))
  .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
  .filter((file) => !NOT_OURS.test(file))

const faults = files.flatMap((file) =>
  readComments(readFileSync(join(ROOT, file), 'utf8')).flatMap((comment) =>
    faultsOf(comment).map((fault) => `${file}:${comment.line} ${fault}`),
  ),
)
for (const fault of faults) console.error(fault)
if (faults.length > 0) {
  console.error(`\n${faults.length} faults in comments; CONTRIBUTING.md, "Style", says how comments read.`)
  process.exitCode = 1
}
