// The child processes of a benchmark: the pipeline under test, and the simulated outside world.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Order, Report } from './outside.ts'

export interface Child {
  readonly pid: number
  stop(): Promise<void>
}

export interface RunningPipeline extends Child {
  /** The base URL for requests. */
  readonly url: string
}

export interface Outside extends Child {
  readonly report: Report
  tell(order: Order): Promise<Report>
}

/** Starts a pipeline, and resolves when the pipeline accepts requests. */
export async function startPipeline(
  file: 'ours.ts' | 'plain.ts',
  env: Readonly<Record<string, string | undefined>>,
): Promise<RunningPipeline> {
  const child = start(file, env)
  const { url } = (await firstMessage(child, file)) as { url: string }
  return { url, ...handle(child) }
}

export async function startOutside(): Promise<Outside> {
  const child = start('outside.ts', {})
  const report = (await firstMessage(child, 'outside.ts')) as Report
  return {
    report,
    async tell(order) {
      const answer = once(child, 'message')
      child.send(order)
      return (await answer)[0] as Report
    },
    ...handle(child),
  }
}

function start(file: string, env: Readonly<Record<string, string | undefined>>): ChildProcess {
  const path = fileURLToPath(new URL(file, import.meta.url))
  return fork(path, {
    env: { PATH: process.env.PATH, ...env },
    execArgv: ['--import', 'tsx'],
  })
}

async function firstMessage(child: ChildProcess, file: string): Promise<unknown> {
  const ended = new AbortController()
  child.once('exit', (code) => ended.abort(new Error(`bench/${file} ended with ${code}`)))
  return (await once(child, 'message', { signal: ended.signal }))[0]
}

function handle(child: ChildProcess): Child {
  return {
    pid: child.pid ?? Number.NaN,
    async stop() {
      const exited = once(child, 'exit')
      child.disconnect()
      await exited
    },
  }
}
