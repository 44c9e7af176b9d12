// Real processes of the app, started as children with the environment of one installation and ended by their recorded pid.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import type { Entries } from './bundle.ts'
import type { CrashPoint } from './crash-points.ts'

export type Role = 'api' | 'worker'
export type Env = Readonly<Record<string, string>>

/** The crash point of a process, and the number of the fatal passing. */
export interface Mine {
  readonly point: CrashPoint
  readonly at: number
}

export interface AppProcess {
  readonly role: Role
  readonly mine: Mine | null
  /** The log of this process only. */
  readonly logFile: string
  readonly child: ChildProcess
  /** Resolves with the exit code, or with the signal that ended the process. */
  readonly ended: Promise<number | NodeJS.Signals>
  /** Sends a signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>
}

export interface Start {
  readonly role: Role
  readonly entries: Entries
  /** The name of the log without its extension, and the folder of the log. */
  readonly name: string
  readonly folder: string
  readonly env: Env
  readonly mine: Mine | null
}

/** Starts a process of the app. */
export function startProcess({ role, entries, name, folder, env, mine }: Start): AppProcess {
  const logFile = join(folder, `${name}.log`)
  const log = openSync(logFile, 'a')
  const crash = mine && { CRASH_POINT: mine.point, CRASH_AT: String(mine.at) }
  const child = spawn(process.execPath, [entries[role]], {
    env: { PATH: process.env.PATH, ...env, ...crash },
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  // A dying controller must not leave its children working.
  const killAtExit = () => child.kill('SIGKILL')
  process.once('exit', killAtExit)
  const ended = once(child, 'exit').then(([code, signal]: (number | NodeJS.Signals | null)[]) => {
    process.removeListener('exit', killAtExit)
    return signal ?? code ?? 0
  })
  return {
    role,
    mine,
    logFile,
    child,
    ended,
    async end(signal) {
      child.kill(signal)
      return await ended
    },
  }
}
