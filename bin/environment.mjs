// Corrects the environment of a command before any other code reads the environment. Plain JavaScript on Node's own modules, like run.mjs.

import { accessSync, constants } from 'node:fs'

/** Variables that may complete a DATABASE_URL without a password. */
const KEPT = new Set(['PGPASSWORD', 'PGPASSFILE'])

/**
 * Removes PGHOST, PGSSLMODE, PGOPTIONS and similar variables: DATABASE_URL alone locates the database, and an embedded Postgres knows its
 * own address. Node's client would use some of the variables, and Prisma's engine none of them.
 */
export function clearPostgresVariables(env) {
  for (const name of Object.keys(env)) if (/^PG[A-Z]/.test(name) && !KEPT.has(name)) delete env[name]
}

/** Uses /tmp where TMPDIR names a folder that this user cannot write to: compiling TypeScript needs a temporary folder. */
export function useSomeTemporaryFolder(env) {
  const { TMPDIR: named } = env
  if (!named || process.platform === 'win32' || mayWrite(named)) return
  console.error(`TMPDIR names ${named}, which is no folder that this user may write to: /tmp is used.`)
  delete env.TMPDIR
}

function mayWrite(folder) {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Node 24 sends every fetch through HTTPS_PROXY when NODE_USE_ENV_PROXY is set; the local servers of the demo and the tests are not behind
 * the proxy. A real installation keeps the given NO_PROXY, which decides how the provider is reached.
 */
export function neverProxyThisMachine(env) {
  const { NO_PROXY: upper, no_proxy: lower } = env
  const besides = (given) => [given, 'localhost', '127.0.0.1', '::1'].filter(Boolean).join(',')
  env.NO_PROXY = besides(upper ?? lower)
  if (lower !== undefined) env.no_proxy = besides(lower)
}
