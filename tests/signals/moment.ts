// Sends signals to a command at a chosen moment, and looks at what is left of it. Moments of tests are conditions; only the table of
// `command.ts`, which samples a whole start, goes by time.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { until } from '../support/wait.ts'

const RUN = fileURLToPath(new URL('../../bin/run.mjs', import.meta.url))
/** What a command under test may take to end. */
const BOUND_MS = 30_000

/** What a moment may look at. */
interface Running {
  /** What it has printed so far. */
  readonly output: () => string
  readonly folder: string
}

/** Resolves when the signal is to be sent. */
export type Moment = (running: Running) => Promise<unknown>

export function after(ms: number): Moment {
  return () => delay(ms)
}

/** @param timeoutMs a busy machine may take a minute to start a command */
export function printed(text: string, timeoutMs = 90_000): Moment {
  return ({ output }) => until(`it prints ${text}`, () => output().includes(text), { timeoutMs })
}

/** @param path below the command's folder */
export function madeFile(path: string): Moment {
  return ({ folder }) => until(`${path} is there`, () => stat(join(folder, path)))
}

export interface Ending {
  /** The exit code; null when a signal ended it, or it had to be killed. */
  readonly code: number | null
  /** The code, the signal that ended it, or that it had to be killed. */
  readonly how: string
  /** From the last signal to its end. */
  readonly tookMs: number
  readonly output: string
  /** The command lines of processes that are still there. */
  readonly left: readonly string[]
}

/**
 * Starts a command that works in `folder` alone, sends a signal at the moment (nothing when it has ended by then), and waits for its end.
 * A command that does not end within the bound is killed.
 * @param again sends the signal once more after as many milliseconds
 */
export async function signalAt(
  words: readonly string[],
  moment: Moment,
  signal: NodeJS.Signals,
  folder: string,
  env: Readonly<Record<string, string>>,
  again?: number,
): Promise<Ending> {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, [RUN, ...words], {
    env: {
      PATH,
      HOME,
      PORT: '0',
      SIMULATOR_PORT: '0',
      REELQUEUE_INSTALL: 'never',
      DATA_DIR: folder,
      TMPDIR: folder,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const ended = once(child, 'close').then(([code, by]) => ({ code: code as number | null, by: by as string | null }))
  try {
    await Promise.race([moment({ output: () => output, folder }), ended])
  } catch (error) {
    child.kill('SIGKILL')
    throw new Error(`${words[0]} printed: ${output}`, { cause: error })
  }
  let sentAt = performance.now()
  child.kill(signal)
  if (again !== undefined) {
    await Promise.race([delay(again), ended])
    sentAt = performance.now()
    child.kill(signal)
  }
  const end = await Promise.race([ended, delay(BOUND_MS, null, { ref: false })])
  const tookMs = Math.round(performance.now() - sentAt)
  child.kill('SIGKILL')
  const how = end === null ? 'killed after the bound' : String(end.code ?? end.by)
  return { code: end?.code ?? null, how, tookMs, output, left: await processesIn(folder) }
}

/** Processes whose command line names the folder, or that work in it (Redis writes its own command line), after the time that a dying Postgres may need for its last checkpoint. Linux only. */
async function processesIn(folder: string): Promise<string[]> {
  const deadline = Date.now() + 15_000
  for (;;) {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    const lines = await Promise.all(
      pids.map(async (pid) => {
        const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
        return `${line} in ${await readlink(`/proc/${pid}/cwd`).catch(() => '')}`
      }),
    )
    const left = lines.filter((line) => line.includes(folder)).map((line) => line.replaceAll('\0', ' ').trim())
    if (left.length === 0 || Date.now() > deadline) return left
    await delay(50)
  }
}
