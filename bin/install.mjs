// Installs missing packages, one installation at a time: a lock file names the installing process and its npm, and is ignored after both
// have ended. Plain JavaScript on Node's own modules: nothing is installed yet. Missing packages are found by content, never by timestamps.

import { execFileSync, spawn } from 'node:child_process'
import { accessSync, constants, existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { constants as osConstants } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const PROGRESS_MS = 5_000
const LOCK_LOOK_MS = 500
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP']
/** How long npm may take to end after a signal. */
const STOP_TIMEOUT_MS = 10_000

/**
 * @param root the clone's folder
 * @param full whether tools for development are needed too
 * @returns the problem, in words; null when everything is present now. Ends the process when a signal comes.
 */
export async function installMissing(root, full) {
  full ||= hasTools(root)
  if (isComplete(root, full)) return null
  const cannot = whyNot(root)
  if (cannot) return cannot
  const lock = join(root, '.install.lock')
  const release = await claim(lock)
  try {
    // Another start may have completed the installation while this start waited.
    if (isComplete(root, full)) return null
    if (!isInstalled(root, full)) {
      const words = [
        'ci',
        ...(full ? [] : ['--omit=dev']),
        '--no-audit',
        '--no-fund',
        '--no-progress',
        '--loglevel=error',
      ]
      console.error(
        `Installing what is missing (npm ${words.slice(0, full ? 1 : 2).join(' ')}); this may take some minutes …`,
      )
      const failed = await runNpm(root, lock, words)
      if (failed) return failed
    }
    if (!isGenerated(root)) {
      const failed = await runNpm(root, lock, ['run', '--silent', 'postinstall'])
      if (failed) return failed
    }
    return isComplete(root, full) ? null : 'The installation is not complete: see above, or run npm ci by hand.'
  } finally {
    release()
  }
}

function isComplete(root, full) {
  return isInstalled(root, full) && isGenerated(root)
}

/** Whether node_modules has the content of package-lock.json. npm writes its record last, so a partial installation has no record. */
export function isInstalled(root, full) {
  const wanted = readJson(join(root, 'package-lock.json'))?.packages
  const installed = readJson(join(root, 'node_modules/.package-lock.json'))?.packages
  if (!wanted || !installed) return false
  return Object.entries(wanted).every(([path, { version, integrity, link, dev, optional, devOptional, peer }]) => {
    if (path === '' || !path.includes('node_modules/')) return true
    const there = installed[path]
    // An optional package may be for another platform.
    if (there === undefined && (optional || devOptional || peer || (dev && !full))) return true
    if (link) return existsSync(join(root, path))
    return there?.version === version && there?.integrity === integrity && existsSync(join(root, path, 'package.json'))
  })
}

/** Whether the tools of development were installed: an update must not remove the tools. */
function hasTools(root) {
  return Object.values(readJson(join(root, 'node_modules/.package-lock.json'))?.packages ?? {}).some(({ dev }) => dev)
}

/** Whether the database client was generated from the present schema: the client contains the schema's text, aligned by Prisma. */
function isGenerated(root) {
  const client = readText(join(root, 'packages/shared/src/store/generated/internal/class.ts'))
  const [, held] = /"inlineSchema": ("(?:[^"\\]|\\.)*")/.exec(client ?? '') ?? []
  const schema = readText(join(root, 'prisma/schema.prisma'))
  return held !== undefined && schema !== null && withoutSpace(JSON.parse(held)) === withoutSpace(schema)
}

function withoutSpace(text) {
  return text.replace(/\s+/g, '')
}

function whyNot(root) {
  const modules = join(root, 'node_modules')
  for (const folder of [root, ...(existsSync(modules) ? [modules] : [])]) {
    try {
      accessSync(folder, constants.W_OK)
    } catch {
      return `What is installed in ${modules} is missing or old, and this user may not write to ${folder}: run npm ci there as its owner.`
    }
  }
  return null
}

/** Runs npm to its end; a signal ends npm early, and npm is never left running. @returns the problem, in words, or null */
async function runNpm(root, lock, words) {
  const { npm_execpath: script } = process.env
  const isWindows = process.platform === 'win32'
  const [program, args] = script?.endsWith('.js') ? [process.execPath, [script, ...words]] : ['npm', words]
  const npm = spawn(program, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' },
    // A process group of its own, so that npm and its children can be ended together. On Windows npm is a script, and only a shell finds
    // the script.
    detached: !isWindows,
    shell: isWindows,
  })
  const ended = new Promise((resolve) => {
    npm.once('error', (error) => resolve(`npm could not be run: ${error.message}. Is Node.js installed with npm?`))
    npm.once('close', (code) => resolve(code === 0 ? null : `npm ${words[0]} failed: see above.`))
  })
  if (npm.pid !== undefined) writeFileSync(lock, nameOf([process.pid, npm.pid]))
  const end = (signal) => {
    try {
      if (isWindows) npm.kill()
      else process.kill(-npm.pid, signal)
    } catch {
      // The group has already ended.
    }
  }
  let stopping = false
  const onSignal = async (signal) => {
    // npm forwards a Ctrl-C that our process already received: a second signal must not end our process before this npm has ended.
    if (stopping) return
    stopping = true
    console.error(`\n${signal}: ending the installation; the next start begins it again …`)
    end('SIGTERM')
    const tooLate = setTimeout(() => end('SIGKILL'), STOP_TIMEOUT_MS)
    await ended
    clearTimeout(tooLate)
    end('SIGKILL')
    rmSync(lock, { force: true })
    process.exit(128 + osConstants.signals[signal])
  }
  const startedAt = Date.now()
  const parent = process.ppid
  const progress = setInterval(
    () => console.error(`  … still installing (${Math.round((Date.now() - startedAt) / 1_000)} s)`),
    PROGRESS_MS,
  )
  const orphaned = setInterval(() => {
    if (process.ppid !== parent) process.emit('SIGTERM', 'SIGTERM')
  }, LOCK_LOOK_MS)
  for (const signal of SIGNALS) process.on(signal, onSignal)
  const failed = await ended
  clearInterval(progress)
  clearInterval(orphaned)
  // A stop takes a moment longer, and a further signal must not end our process with another exit code.
  if (!stopping) for (const signal of SIGNALS) process.off(signal, onSignal)
  return failed
}

/** Waits for the installing process. @returns a function that releases the lock */
async function claim(lock) {
  let told = false
  for (;;) {
    const draft = `${lock}.${process.pid}`
    writeFileSync(draft, nameOf([process.pid]))
    try {
      linkSync(draft, lock)
      return () => rmSync(lock, { force: true })
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    } finally {
      rmSync(draft, { force: true })
    }
    const holders = readJson(lock)
    const alive = Array.isArray(holders) && holders.filter(({ pid, identity }) => identityOf(pid) === identity)
    if (alive && alive.length > 0) {
      if (!told) console.error(`Another start (process ${alive[0].pid}) is installing: waiting for it …`)
      told = true
    } else if (JSON.stringify(readJson(lock)) === JSON.stringify(holders)) rmSync(lock, { force: true })
    await delay(LOCK_LOOK_MS)
  }
}

function nameOf(pids) {
  return JSON.stringify(pids.map((pid) => ({ pid, identity: identityOf(pid) })))
}

/** Distinguishes a process from a later process with the same pid; null when the process does not run. See embedded/folder-owner.ts. */
function identityOf(pid) {
  if (process.platform === 'linux') {
    const stat = readText(`/proc/${pid}/stat`)
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
    return !fields || fields[0] === 'Z' || fields[0] === 'X' ? null : fields[19]
  }
  try {
    if (process.platform === 'win32') return process.kill(pid, 0) ? 'running' : null
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || null
  } catch {
    return null
  }
}

function readText(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return null
  }
}
