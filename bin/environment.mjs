// What the environment of a command must not decide, or gets wrong: put right before anything reads it.
// Plain JavaScript on Node's own modules, like run.mjs.

import { accessSync, constants } from 'node:fs'

/** What may complete a DATABASE_URL that names no password. */
const KEPT = new Set(['PGPASSWORD', 'PGPASSFILE'])

/**
 * Takes PGHOST, PGSSLMODE, PGOPTIONS and their like away: DATABASE_URL alone says where the database is, and an embedded one is where it
 * was started. Node's client would believe some of them, and Prisma's engine none.
 */
export function forgetPostgres(env) {
  for (const name of Object.keys(env)) if (/^PG[A-Z]/.test(name) && !KEPT.has(name)) delete env[name]
}

/** Where TMPDIR names a folder that this user cannot write to, the usual one is taken: what compiles TypeScript needs some folder. */
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
 * Node 24 sends every fetch through HTTPS_PROXY when NODE_USE_ENV_PROXY is set; what the demo and the tests run on this machine is not
 * behind it. A real installation keeps NO_PROXY as it was given: it says how the provider is reached.
 */
export function neverProxyThisMachine(env) {
  const { NO_PROXY: upper, no_proxy: lower } = env
  const besides = (given) => [given, 'localhost', '127.0.0.1', '::1'].filter(Boolean).join(',')
  env.NO_PROXY = besides(upper ?? lower)
  if (lower !== undefined) env.no_proxy = besides(lower)
}
