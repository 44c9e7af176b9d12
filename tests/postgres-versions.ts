// `npx tsx tests/postgres-versions.ts [14 15 …]`: the tests of what talks to Postgres, on each version in turn, and a line of counts for each.
// A version is 14 to 18 (from npm), or the folder of a server's binaries; `--results FOLDER` keeps what vitest found as postgres-VERSION.json.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const FILES = ['store', 'pipeline', 'migrate', 'postgres'].map((name) => `tests/${name}`)
const RUN = fileURLToPath(new URL('../bin/run.mjs', import.meta.url))

const { positionals, values } = parseArgs({ allowPositionals: true, options: { results: { type: 'string' } } })
const versions = positionals.length > 0 ? positionals : ['14', '15', '16', '17', '18']
const folder = values.results ?? mkdtempSync(join(tmpdir(), 'reelqueue-versions-'))
const lines = versions.map((version) => {
  const results = join(folder, `postgres-${version.replaceAll('/', '-')}.json`)
  const { DATABASE_URL: _, ...env } = process.env
  const words = ['test', '--project', 'system', ...FILES, '--reporter=dot', '--reporter=json']
  const { status } = spawnSync(process.execPath, [RUN, ...words, `--outputFile.json=${results}`], {
    stdio: 'inherit',
    env: { ...env, TEST_POSTGRES: version.startsWith('/') ? version : `embedded:${version}` },
  })
  if (status !== 0) process.exitCode = 1
  return `${version}: ${countsIn(results)}${status === 0 ? '' : ` (ended with code ${status})`}`
})
console.log(lines.join('\n'))
if (values.results === undefined) rmSync(folder, { recursive: true })

/** A run whose server did not start leaves no results. */
function countsIn(file: string): string {
  try {
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(file, 'utf8'))
    return `${numPassedTests} passed${numFailedTests === 0 ? '' : `, ${numFailedTests} failed`}`
  } catch {
    return 'not run'
  }
}
