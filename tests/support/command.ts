// A command as a person runs it: a process of its own, what it prints and the code it ends with.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const RUN = fileURLToPath(new URL('../../bin/run.mjs', import.meta.url))

export interface RunningCommand {
  readonly child: ChildProcess
  /** What it has printed so far, to either stream. */
  readonly output: () => string
  /** The exit code. */
  readonly ended: Promise<number | null>
}

/**
 * Starts it, for the test that is running, with nothing of this process's environment but where programs are. Its port is one
 * that the system chose.
 */
export function runCommand(words: readonly string[], env: Readonly<Record<string, string>>): RunningCommand {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, [RUN, ...words], {
    // Whatever this test is about, it must not replace node_modules under the others.
    env: { PATH, HOME, PORT: '0', REELQUEUE_INSTALL: 'never', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const ended = once(child, 'close').then(([code]) => code as number | null)
  // A test that failed half-way must not leave it running.
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  return { child, output: () => output, ended }
}
