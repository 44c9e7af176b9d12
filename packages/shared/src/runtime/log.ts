// One JSON line per request and per step run. Never a prompt, a key or a secret: callers log ids and outcomes only.

import { type Logger, pino } from 'pino'

export type { Logger }

/** A logger that writes JSON lines to stdout, or to `file` when given. */
export function createLogger(level: string, file?: string): Logger {
  const destination = pino.destination(file === undefined ? 1 : { dest: file, mkdir: true, sync: true })
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: errorFields } },
    destination,
  )
}

/** Only what cannot hold a caller's data: Postgres puts whole rows, prompts included, into the details of its errors. */
function errorFields(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const code = 'code' in error ? error.code : undefined
  return { type: error.name, code, message: error.message, stack: error.stack }
}
