// Runs first in every npm script: checks Node and the arguments, installs missing packages, then runs the command in this process. Plain
// JavaScript on purpose: this file must work before anything is installed.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { currentBundle } from './built.mjs'
import { clearPostgresVariables, neverProxyThisMachine, useSomeTemporaryFolder } from './environment.mjs'
import { installMissing } from './install.mjs'
import { checkWords, usageOf } from './usage.mjs'

const NODE_MIN = [20, 19]
const ROOT = fileURLToPath(new URL('..', import.meta.url))
const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))

/** Commands that run third-party programs. */
const TOOLS = {
  test: [['vitest', 'run']],
  check: [
    ['biome', 'check', '--error-on-warnings'],
    ['turbo', 'run', 'typecheck', '--output-logs=errors-only'],
    ['tsc', '--noEmit'],
    ['knip'],
    ['tsx', 'bin/words.ts'],
    ['tsx', 'bin/boundaries.ts'],
    ['tsx', 'bin/sql.ts'],
  ],
}

/** Commands outside this folder. */
const ELSEWHERE = { chaos: 'tests/chaos/command.ts', bench: 'bench/command.ts' }

/** Commands of a real installation, configured by `.env` too. The demo and the tests must not touch a real installation. */
const READ_ENV_FILE = new Set([
  'start',
  'start-api',
  'start-worker',
  'migrate',
  'keys',
  'operators',
  'doctor',
  'simulator',
])

/** Commands that need the tools of development too. */
const NEEDS_ALL = new Set(['test', 'check', 'chaos', 'bench', 'migration', 'docs'])

const [command = '', ...args] = process.argv.slice(2)
checkNode()
const fault = checkWords(command, args, parseArgs)
if (fault === 'help') {
  console.log(usageOf(command))
  process.exit(0)
}
if (fault !== null) {
  console.error(`${fault}\n${usageOf(command)}`)
  process.exit(2)
}
// A complete image, and a command run by a test, install nothing.
const { REELQUEUE_INSTALL: install } = process.env
if (install !== 'never') {
  const failed = await installMissing(ROOT, NEEDS_ALL.has(command))
  if (failed !== null) fail(failed)
}
if (!READ_ENV_FILE.has(command)) neverProxyThisMachine(process.env)
useSomeTemporaryFolder(process.env)
if (command in TOOLS) {
  clearPostgresVariables(process.env)
  for (const [tool, ...words] of TOOLS[command]) await run(at(`node_modules/.bin/${tool}`), [...words, ...args])
} else {
  if (READ_ENV_FILE.has(command) && existsSync(at('.env'))) process.loadEnvFile(at('.env'))
  clearPostgresVariables(process.env)
  answerSignals()
  process.argv.splice(2, 1)
  const bundle = currentBundle(ROOT, command)
  if (bundle === null) {
    const { register } = await import('tsx/esm/api')
    register()
  } else process.setSourceMapsEnabled(true)
  await import(pathToFileURL(bundle ?? at(ELSEWHERE[command] ?? `bin/${command}.ts`)).href)
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return
  fail(
    `Reelqueue needs Node.js ${NODE_MIN.join('.')} or newer; this is ${process.versions.node}. Install one from https://nodejs.org.`,
  )
}

/**
 * Handles signals until the command has its own handlers (the command is still being loaded): a signal ends the process. npm sends a signal
 * to the shell between npm and our process, and the shell ends without notifying our process: a process manager that stops `npm start`
 * would leave our process running. So our process stops when its parent has gone, unless a signal came before.
 */
function answerSignals() {
  const parent = process.ppid
  const underNpm = process.env.npm_lifecycle_event !== undefined
  const watch = setInterval(() => {
    if (underNpm && process.ppid !== parent) process.kill(process.pid, 'SIGTERM')
  }, 500)
  watch.unref()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      clearInterval(watch)
      if (process.listenerCount(signal) === 1) process.exit(128 + constants.signals[signal])
    })
  }
  // The reader of our output has gone (`npm start | head`): without the reader, no user would notice or stop this process.
  for (const stream of [process.stdout, process.stderr]) {
    let told = false
    stream.on('error', ({ code }) => {
      // On a full disk the work goes on.
      if (told || code === 'ENOSPC') return
      told = true
      process.kill(process.pid, 'SIGHUP')
    })
  }
}

/** Runs a tool to its end; a signal is forwarded, and the end of the tool is awaited. */
async function run(program, words) {
  const env = { ...process.env, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' }
  const child = spawn(program, words, { stdio: 'inherit', cwd: ROOT, env, shell: process.platform === 'win32' })
  const pass = (signal) => child.kill(signal)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, pass)
  const [code, signal] = await new Promise((resolve) => {
    child.once('error', (error) => fail(`${program} could not be run: ${error.message}. Is everything installed?`))
    child.once('close', (...how) => resolve(how))
  })
  if (code !== 0) process.exit(code ?? 128 + constants.signals[signal])
  for (const one of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(one, pass)
}

function fail(message) {
  console.error(message)
  process.exit(1)
}
