// A part of `npm run check`: fails on imports that the table of rooms does not allow. Biome finds import cycles.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crossings } from './boundaries/imports.ts'
import { ROOMS } from './boundaries/rooms.ts'
import { ROOT, sources } from './sources.ts'

const faults = sources(['apps', 'packages'])
  .filter((file) => !file.endsWith('.test.ts'))
  .flatMap((file) => crossings(file, readFileSync(join(ROOT, file), 'utf8'), ROOMS))
for (const fault of faults) console.error(fault)
if (faults.length > 0) {
  console.error(`\n${faults.length} imports cross a boundary; bin/boundaries/rooms.ts is the table.`)
  process.exitCode = 1
}
