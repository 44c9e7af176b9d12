// Nothing waits for ever, and no process ends without a reason.

import type { Evidence } from '../evidence.ts'

export function nothingIsOverdue({ overdue }: Evidence): string[] {
  return overdue === 0 ? [] : [`${overdue} rows are due, and nobody looks at them`]
}

/** A process may refuse to start while Postgres is away; a working process ends only by a signal, and in order when asked to stop. */
export function processesLive({ lives }: Evidence): string[] {
  return lives.flatMap(({ name, endedBy, exit, atWork, logFile }) => {
    if (endedBy === 'itself' && (atWork || exit !== 1)) return [`${name} ended by itself (${exit}): ${logFile}`]
    if (endedBy === 'stop' && atWork && exit !== 0) return [`${name} did not stop in order (${exit}): ${logFile}`]
    return endedBy === 'stuck' ? [`${name} did not stop at all: ${logFile}`] : []
  })
}
