// Child processes of Postgres: their output, their end, and the fix for what the output says.

import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'

/** How many lines of Postgres's log an error quotes. */
const LAST_LINES = 8

/** The fix for a full disk, and for a folder open to root but closed to the user of Postgres. */
export function hintOf(end: string | null): string {
  if (end?.includes('No space left on device')) {
    return '\nThe disk is full: free some space, or set DATA_DIR to a folder on another disk.'
  }
  if (end === null || process.getuid?.() !== 0 || !/setpriv|Permission denied/.test(end)) return ''
  return (
    '\nUnder root, Postgres runs as another user, who may not enter one of these folders: move Reelqueue and DATA_DIR to folders that ' +
    'others may enter, run Reelqueue as an ordinary user, or set DATABASE_URL.'
  )
}

/** Follows a process until a line contains `until` (resolves to null) or the process ends (resolves to its exit and last lines). */
export async function watch(
  child: ChildProcess,
  { until, log }: { until: string | null; log: (line: string) => void },
): Promise<string | null> {
  const lastLines: string[] = []
  return new Promise((resolve) => {
    if (child.stderr) {
      createInterface(child.stderr).on('line', (line) => {
        log(line)
        lastLines.push(line)
        if (lastLines.length > LAST_LINES) lastLines.shift()
        if (until !== null && line.includes(until)) resolve(null)
      })
    }
    child.once('error', (error) => resolve(`${child.spawnfile} cannot run here (${error.message}); set DATABASE_URL`))
    child.once('close', (code, signal) => {
      const how = signal ?? `code ${code}`
      resolve(code === 0 ? how : [how, ...lastLines].join('\n  '))
    })
  })
}

/** Ends a child together with our process, except after SIGKILL of our process. @returns a function that cancels this */
export function endAtExit(child: ChildProcess, signal: NodeJS.Signals): () => void {
  // SIGKILL is for initdb, which has child processes: the signal goes to the whole process group (`spawnAs` makes one for each child).
  const end = () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    if (signal === 'SIGKILL' && child.pid !== undefined && process.platform !== 'win32') {
      try {
        process.kill(-child.pid, signal)
      } catch {
        // The group has already ended.
      }
    } else child.kill(signal)
  }
  process.once('exit', end)
  return () => process.removeListener('exit', end)
}
