// Sends one signal to a command at a chosen moment, and looks at what is left of it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const RUN = fileURLToPath(new URL('../../bin/run.mjs', import.meta.url))
/** What a command under test may take to end. */
const BOUND_MS = 30_000

export interface Ending {
  /** The exit code; null when it had to be killed. */
  readonly code: number | null
  readonly tookMs: number
  readonly output: string
  /** The command lines of processes that are still there. */
  readonly left: readonly string[]
}

/**
 * Starts a command that works in `folder` alone, sends `signal` after `afterMs` or as soon as it has printed `when`, and waits for its end.
 * A command that does not end within the bound is killed.
 */
export async function signalAt(
  words: readonly string[],
  moment: { readonly afterMs?: number; readonly when?: string },
  signal: NodeJS.Signals,
  folder: string,
  env: Readonly<Record<string, string>>,
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
  const heard = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk
        if (moment.when !== undefined && output.includes(moment.when)) resolve()
      })
    }
  })
  const ended = once(child, 'close').then(([code]) => code as number | null)
  await Promise.race([moment.when === undefined ? delay(moment.afterMs) : heard, ended])
  const sentAt = performance.now()
  child.kill(signal)
  const code = await Promise.race([ended, delay(BOUND_MS, null, { ref: false })])
  const tookMs = Math.round(performance.now() - sentAt)
  child.kill('SIGKILL')
  return { code, tookMs, output, left: await processesIn(folder) }
}

/** Processes whose command line names the folder, after the moment that a dying one may need. Linux only. */
async function processesIn(folder: string): Promise<string[]> {
  const deadline = Date.now() + 2_000
  for (;;) {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
    const left = lines.filter((line) => line.includes(folder)).map((line) => line.replaceAll('\0', ' ').trim())
    if (left.length === 0 || Date.now() > deadline) return left
    await delay(50)
  }
}
