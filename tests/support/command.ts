// A command as a person runs it: a separate process, with its output and its exit code.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const RUN = fileURLToPath(new URL('../../bin/run.mjs', import.meta.url))

export interface RunningCommand {
  readonly child: ChildProcess
  /** The output so far, of stdout and stderr together. */
  readonly output: () => string
  /** The exit code. */
  readonly ended: Promise<number | null>
}

/**
 * Starts the command for the running test, with only PATH and HOME of this process's environment. The system chooses the command's port.
 */
export function runCommand(words: readonly string[], env: Readonly<Record<string, string>>): RunningCommand {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, [RUN, ...words], {
    // A test must never replace node_modules while other tests run.
    env: { PATH, HOME, PORT: '0', REELQUEUE_INSTALL: 'never', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const ended = once(child, 'close').then(([code]) => code as number | null)
  // A test that failed half-way must not leave the command running.
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  return { child, output: () => output, ended }
}
