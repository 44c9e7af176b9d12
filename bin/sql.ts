// A part of `npm run format` (with --write) and of `npm run check`: the SQL of the store has one clause a line and at
// most 100 columns. A clause, and not each column, has a line of its own, so that a statement stays on one screen.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, sources } from './sources.ts'
import { formatSource } from './sql/templates.ts'

const isWriting = process.argv.includes('--write')

for (const name of sources(['packages/shared/src/store'])) {
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
