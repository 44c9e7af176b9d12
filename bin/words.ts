// A part of `npm run check`: fails on comments that a reader has to decode and on coined names, and names each fault with its place.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, sources } from './sources.ts'
import { faultsOf, readComments } from './words/comments.ts'
import { coinedWordsOf, declaredNames } from './words/identifiers.ts'

const FOLDERS = ['apps', 'packages', 'bin', 'bench', 'tests']

const faults = sources(FOLDERS).flatMap((file) => {
  const source = readFileSync(join(ROOT, file), 'utf8')
  return [
    ...coinedWordsOf(file).map((fault) => `${file} ${fault}`),
    ...readComments(source).flatMap((comment) => faultsOf(comment).map((fault) => `${file}:${comment.line} ${fault}`)),
    ...declaredNames(source).flatMap(({ line, name }) =>
      coinedWordsOf(name).map((fault) => `${file}:${line} ${fault}`),
    ),
  ]
})
for (const fault of faults) console.error(fault)
if (faults.length > 0) {
  console.error(
    `\n${faults.length} faults in comments and names; CONTRIBUTING.md, "Style", says how comments and names read.`,
  )
  process.exitCode = 1
}
