// The log has a JSON line per request and per step run; the catalogue (log-events/catalogue.ts) names every event and its fields. Callers
// log ids and outcomes only, never a prompt, a key or a secret. A repeating failure is one line in ten seconds with the number of omitted
// lines (sparing.ts); the lines of limited events are omitted in the same way.

import { type Logger as Pino, pino } from 'pino'
import { isLimited, type LogLine } from './log-events/catalogue.ts'
import type { LogLevel } from './log-events/event.ts'
import { createSparing, kindOfError } from './sparing.ts'

/** A function for each level. An unknown event, another level or a missing field does not compile. */
export type EventLog = { readonly [Level in LogLevel]: (line: LogLine<Level>) => void }

export interface Logger extends EventLog {
  /** For Fastify, which writes lines of its own. */
  readonly pino: Pino
}

const WARN = 40
/** How many bytes wait in memory while lines cannot be written. */
const UNWRITTEN_MAX = 256 * 1024

/** A logger writing JSON lines to stdout, or to `file` when given. */
export function createLogger(level: string, file?: string): Logger {
  const destination = pino.destination({ dest: file ?? 1, mkdir: true, sync: true, maxLength: UNWRITTEN_MAX })
  // A full disk must not end a process that has paid submissions to record.
  destination.on('error', () => undefined)
  const sparing = createSparing()
  const lines = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: errorFields, req: requestFields },
      hooks: {
        logMethod(args, method, levelNumber) {
          const [fields] = args
          if (!isSpared(fields, levelNumber)) {
            method.apply(this, args)
            return
          }
          // Without a message argument, pino takes the message of the error.
          const said: unknown = args[1] ?? (fields.err instanceof Error ? fields.err.message : undefined)
          const message = typeof said === 'string' ? [withoutQueries(said)] : []
          sparing.say(kindOf(fields), (leftOut) =>
            method.apply(this, [leftOut === 0 ? fields : { ...fields, leftOut }, ...message] as typeof args),
          )
        },
      },
    },
    destination,
  )
  return {
    pino: lines,
    error: (line) => lines.error(line),
    warn: (line) => lines.warn(line),
    info: (line) => lines.info(line),
    debug: (line) => lines.debug(line),
  }
}

interface SparedLine {
  readonly err?: unknown
  readonly event?: unknown
  readonly code?: unknown
  readonly part?: unknown
  readonly step?: unknown
  readonly queue?: unknown
}

/**
 * Limited lines: lines with an error, and the limited events of the catalogue. A line with a submission id is never omitted: the line may be the only
 * record of a paid submission.
 */
function isSpared(fields: unknown, level: number): fields is SparedLine {
  if (typeof fields !== 'object' || fields === null || 'submissionId' in fields) return false
  return (level >= WARN && 'err' in fields) || ('event' in fields && isLimited(fields.event))
}

function kindOf({ event, code, part, step, queue, err }: SparedLine): string {
  const error = err === undefined ? undefined : kindOfError(err)
  return [event, code, part, step, queue, error].filter((one) => one !== undefined).join(' ')
}

/** Excludes fields with a caller's data: Postgres puts whole rows, prompts included, into the details of its errors. */
function errorFields(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const code = 'code' in error ? error.code : undefined
  return { type: error.name, code, message: withoutQueries(error.message), stack: withoutQueries(error.stack ?? '') }
}

/** Removes query strings: Fastify puts the URL of a request into messages, and the query of a batch may hold prompts (`defaults`). */
export function withoutQueries(text: string): string {
  return text.replace(/(\/[^\s"'?]*)\?[^\s"']*/g, '$1?…')
}

/** The fields of a request in Fastify's own log lines. */
function requestFields(request: { readonly id?: unknown; readonly method?: unknown; readonly url?: unknown }): unknown {
  return { id: request.id, method: request.method, url: withoutQueries(String(request.url)) }
}
