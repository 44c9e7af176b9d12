// Bundles the commands of an installation: our own code becomes a few JavaScript files with source maps, so that a start compiles no
// TypeScript. Libraries stay outside: Node.js loads libraries from node_modules, as it does for the sources.

import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'esbuild'
import { BUILDS, currentBundle, SOURCES, stampOf } from './built.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** The commands of an installation; commands of development run the sources. */
const COMMANDS = ['demo', 'start', 'start-api', 'start-worker', 'simulator', 'migrate', 'keys', 'operators', 'doctor']

/** Files that decide what a bundle becomes and that no source imports. */
const SETTINGS = ['tsconfig.json', 'package-lock.json', 'bin/bundle.ts', 'bin/built.mjs']
const SETTINGS_OF_WORKSPACE = ['tsconfig.json', 'package.json']

/** Makes the build of the present sources, unless there is one. A process that starts in the meantime sees the whole build or nothing of it. */
export async function bundleCommands(root = ROOT): Promise<void> {
  if (COMMANDS.every((command) => currentBundle(root, command) !== null)) return
  const builds = join(root, BUILDS)
  const draft = join(builds, `.draft-${process.pid}`)
  await mkdir(draft, { recursive: true })
  try {
    const sources = new Map<string, Uint8Array>()
    for (const path of await settingsOf(root)) sources.set(path, await readFile(join(root, path)))
    await bundle(root, draft, sources)
    const stamp = stampOf(sources)
    await writeFile(join(draft, SOURCES), JSON.stringify([...sources.keys()]))
    await rm(join(builds, stamp), { recursive: true, force: true })
    await rename(draft, join(builds, stamp))
    for (const name of await readdir(builds)) {
      if (name !== stamp && !name.startsWith('.')) await rm(join(builds, name), { recursive: true, force: true })
    }
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

async function settingsOf(root: string): Promise<string[]> {
  const workspaces = ['apps', 'packages'].map(async (folder) =>
    (await readdir(join(root, folder), { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .flatMap(({ name }) => SETTINGS_OF_WORKSPACE.map((file) => `${folder}/${name}/${file}`)),
  )
  return [...SETTINGS, ...(await Promise.all(workspaces)).flat()]
}

/** Bundles into `folder`, and adds to `sources` the contents of each source that was read. */
async function bundle(root: string, folder: string, sources: Map<string, Uint8Array>): Promise<void> {
  await build({
    absWorkingDir: root,
    entryPoints: COMMANDS.map((command) => `bin/${command}.ts`),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    sourcemap: true,
    sourcesContent: false,
    plugins: [librariesOutside(root, folder), ownSources(root, folder, sources)],
    logLevel: 'error',
  })
}

/**
 * A library is loaded from the folder where the importing source finds it. Where npm put another version into the node_modules of a
 * workspace, or only there, the bundle does not find the library by name and needs the path of the file.
 */
function librariesOutside(root: string, folder: string): Plugin {
  return {
    name: 'libraries outside',
    setup({ onResolve, resolve }) {
      onResolve({ filter: /^[^./]/ }, async ({ path, pluginData, kind, importer, resolveDir }) => {
        if (pluginData === 'resolving' || kind === 'entry-point' || path.startsWith('@reelqueue/')) return
        const from = (resolveDir: string) => resolve(path, { kind, importer, resolveDir, pluginData: 'resolving' })
        const [found, foundByRoot] = await Promise.all([from(resolveDir), from(root)])
        if (found.errors.length > 0) return { errors: found.errors }
        if (found.external || found.path === foundByRoot.path) return { path, external: true }
        return { path: urlPath(relative(folder, found.path)), external: true }
      })
    },
  }
}

/** Reads our own sources. `import.meta.url` keeps naming the source, so that paths relative to a source stay correct. */
function ownSources(root: string, folder: string, sources: Map<string, Uint8Array>): Plugin {
  return {
    name: 'own sources',
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const contents = await readFile(path)
        sources.set(urlPath(relative(root, path)), contents)
        const url = `new URL(${JSON.stringify(encodeURI(urlPath(relative(folder, path))))}, import.meta.url).href`
        return {
          contents: contents.toString().replaceAll('import.meta.url', url),
          loader: 'ts',
          resolveDir: dirname(path),
        }
      })
    },
  }
}

function urlPath(path: string): string {
  return path.replaceAll(sep, '/')
}
