// A part of `npm run format` (with --write) and of `npm run check`: the SQL of the store has one clause a line and at
// most 100 columns. `sql-formatter` was tried: each column and each argument becomes a line, so files grow threefold.

import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ROOT, sources } from './sources.ts'
import { formatSource } from './sql/templates.ts'

/** Files whose SQL has this layout so far. */
const LAID_OUT = new Set(
  `answer-counts batch-actions batch-changes fan-out generations health ledger-watch metrics projects resealing
   rotation step-runs target-rests`
    .split(/\s+/)
    .map((name) => `${name}.ts`),
)

const isWriting = process.argv.includes('--write')

for (const name of sources(['packages/shared/src/store'])) {
  if (!LAID_OUT.has(basename(name))) continue
  const before = readFileSync(join(ROOT, name), 'utf8')
  const { source, faults } = formatSource(before)
  for (const fault of faults) fail(`${name}:${fault}`)
  if (source === before) continue
  if (isWriting) writeFileSync(join(ROOT, name), source)
  else fail(`${name}: the SQL is not formatted; run npm run format`)
}

function fail(message: string): void {
  console.error(message)
  process.exitCode = 1
}
