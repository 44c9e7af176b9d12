// Finds what `npm run build` made from exactly the present sources. A build is a folder `dist/STAMP`; the stamp is a hash of the contents of
// every file that the build was made from, so a build of other sources is never run. Plain JavaScript on Node's own modules, like run.mjs.

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The folder of builds, and the file in each build that lists the paths of its sources. */
export const BUILDS = 'dist'
export const SOURCES = 'sources.json'

/** The stamp of sources: pairs of a path below the root and the contents of the file. */
export function stampOf(sources) {
  const hash = createHash('sha256')
  for (const [path, contents] of sources) hash.update(`${path}\n${contents.length}\n`).update(contents)
  return hash.digest('hex').slice(0, 32)
}

/** The bundle of a command in a build of the present sources, or null when there is none. */
export function currentBundle(root, command) {
  for (const stamp of foldersIn(join(root, BUILDS))) {
    const bundle = join(root, BUILDS, stamp, `${command}.mjs`)
    if (existsSync(bundle) && presentStamp(root, join(root, BUILDS, stamp, SOURCES)) === stamp) return bundle
  }
  return null
}

function presentStamp(root, list) {
  try {
    const paths = JSON.parse(readFileSync(list, 'utf8'))
    return stampOf(paths.map((path) => [path, readFileSync(join(root, path))]))
  } catch {
    // A source was removed, or another start is removing an old build.
    return null
  }
}

function foldersIn(folder) {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
