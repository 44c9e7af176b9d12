// A client whose types are generated from /openapi.json: it compiles, what is wrong does not compile, and the client sends a batch.

import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { send, startApi } from './support/api.ts'
import { runSql } from './support/database.ts'

const CLIENT = fileURLToPath(new URL('./openapi-types/', import.meta.url))
const GENERATED = join(CLIENT, 'generated')
const run = promisify(execFile)
/** Compilers take their time on a busy machine. */
const PROGRAMS_MS = 300_000
/** The client's own packages: its TypeScript is the one that its generator and most integrators use. */
const { resolve } = createRequire(join(CLIENT, 'package.json'))
const binOf = (name: string, bin: string) => join(dirname(resolve(`${name}/package.json`)), bin)

const { app, database } = await startApi()

/** Compiles the client. @returns the errors */
async function compile(): Promise<string> {
  const tsc = [binOf('typescript', 'bin/tsc'), '-p', CLIENT]
  return run(process.execPath, tsc).then(
    ({ stdout }) => stdout,
    ({ stdout }: { readonly stdout: string }) => stdout,
  )
}

beforeAll(async () => {
  await mkdir(GENERATED, { recursive: true })
  const document = join(GENERATED, 'openapi.json')
  await writeFile(document, (await send('GET', `${app.url}/openapi.json`)).text)
  const generator = binOf('openapi-typescript', 'bin/cli.js')
  await run(process.execPath, [generator, document, '-o', join(GENERATED, 'api.d.ts')])
}, PROGRAMS_MS)

afterAll(() => rm(GENERATED, { recursive: true, force: true }))

it(
  'the client compiles, and none of the wrong calls does',
  async () => {
    expect(await compile()).toBe('')
  },
  PROGRAMS_MS,
)

it(
  'the client sends a batch and reads its generations',
  async () => {
    const program = ['--import', 'tsx', join(CLIENT, 'send-batch.ts'), app.url, app.key]
    const { stdout } = await run(process.execPath, program)
    const told = JSON.parse(stdout)
    expect(told).toMatchObject({ total: 2, queued: 2, metadata: { shop: 7 } })
    expect(told.generations).toHaveLength(2)
    const stored = await runSql(
      database.url,
      'SELECT id, custom_id, status::text, seconds FROM generations ORDER BY custom_id',
    )
    expect(stored).toMatchObject([
      { custom_id: 'fox', status: 'queued', seconds: 4 },
      { custom_id: 'owl', status: 'queued', seconds: 12 },
    ])
    expect(told.generations).toEqual(expect.arrayContaining(stored))
  },
  PROGRAMS_MS,
)
