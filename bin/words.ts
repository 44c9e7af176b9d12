// A part of `npm run check`: fails on comments that a reader has to decode, and names each fault with its place.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, sources } from './sources.ts'
import { faultsOf, readComments } from './words/comments.ts'

const FOLDERS = ['apps', 'packages', 'bin', 'bench', 'tests']

const faults = sources(FOLDERS).flatMap((file) =>
  readComments(readFileSync(join(ROOT, file), 'utf8')).flatMap((comment) =>
    faultsOf(comment).map((fault) => `${file}:${comment.line} ${fault}`),
  ),
)
for (const fault of faults) console.error(fault)
if (faults.length > 0) {
  console.error(`\n${faults.length} faults in comments; CONTRIBUTING.md, "Style", says how comments read.`)
  process.exitCode = 1
}
