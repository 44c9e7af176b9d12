// What every npm script runs first: checks Node, installs what is missing, then runs the command in this process.
// Plain JavaScript on purpose: it must work before anything is installed.

import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const NODE_MIN = [20, 19]
const ROOT = fileURLToPath(new URL('..', import.meta.url))
const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))

/** Commands that are other people's programs. */
const TOOLS = {
  test: [['vitest', 'run']],
  check: [
    ['biome', 'check', '--error-on-warnings'],
    ['turbo', 'run', 'typecheck', '--output-logs=errors-only'],
    ['tsc', '--noEmit'],
    ['knip'],
  ],
}

/** Commands that live beside what they are for; the others are in this folder. */
const ELSEWHERE = { chaos: 'tests/chaos/command.ts', bench: 'bench/command.ts' }

/** Commands that run a real installation, configured by `.env` too. The demo and the tests must not touch one. */
const READ_ENV_FILE = new Set(['start', 'start-api', 'start-worker', 'migrate', 'keys', 'doctor', 'simulator'])

const [command = '', ...args] = process.argv.slice(2)
checkNode()
installMissing()
if (command in TOOLS) {
  for (const [tool, ...words] of TOOLS[command]) run(at(`node_modules/.bin/${tool}`), [...words, ...args])
} else {
  if (READ_ENV_FILE.has(command) && existsSync(at('.env'))) process.loadEnvFile(at('.env'))
  stopWithNpm()
  const { register } = await import('tsx/esm/api')
  register()
  process.argv.splice(2, 1)
  await import(new URL(`../${ELSEWHERE[command] ?? `bin/${command}.ts`}`, import.meta.url).href)
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return
  fail(
    `Reelqueue needs Node.js ${NODE_MIN.join('.')} or newer; this is ${process.versions.node}. Install one from https://nodejs.org.`,
  )
}

/**
 * npm hands a signal to the shell between it and us, and that dies of it without telling us: a process manager that stops
 * `npm start` would leave us behind. So we stop when our parent is gone, unless we were told already.
 */
function stopWithNpm() {
  if (process.env.npm_lifecycle_event === undefined) return
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid !== parent) process.kill(process.pid, 'SIGTERM')
  }, 500)
  watch.unref()
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => clearInterval(watch))
}

function installMissing() {
  const installed = at('node_modules/.package-lock.json')
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(at('package-lock.json')).mtimeMs) {
    console.error('Installing what is missing (npm ci) …')
    // npm may be a script on some systems: a shell finds it everywhere. The words are constants.
    run('npm ci --no-audit --no-fund --loglevel=error', [], { shell: true })
  }
  const client = at('packages/shared/src/store/generated/client.ts')
  if (!existsSync(client) || statSync(client).mtimeMs < statSync(at('prisma/schema.prisma')).mtimeMs) {
    run(at('node_modules/.bin/prisma'), ['generate'], { stdio: 'pipe' })
  }
}

function run(program, words, options = {}) {
  const env = { ...process.env, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' }
  const { status, error, stderr } = spawnSync(program, words, { stdio: 'inherit', cwd: ROOT, env, ...options })
  if (error) fail(`${program} could not be run: ${error.message}. Is Node.js installed with npm?`)
  if (status === 0) return
  if (stderr) console.error(stderr.toString())
  process.exit(status ?? 1)
}

function fail(message) {
  console.error(message)
  process.exit(1)
}
