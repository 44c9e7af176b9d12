// One JSON line per request and per step run. Never a prompt, a key or a secret: callers log ids and outcomes only. A failure
// that repeats is one line in ten seconds, with the number of those left out (sparing.ts); so is what comes with every run of a
// lane, and for every server that rests.

import { type Logger, pino } from 'pino'
import { createSparing, kindOfError } from './sparing.ts'

export type { Logger }

const WARN = 40
/** What is kept of lines that cannot be written now. */
const UNWRITTEN_MAX = 256 * 1024

/** A logger that writes JSON lines to stdout, or to `file` when given. */
export function createLogger(level: string, file?: string): Logger {
  const destination = pino.destination({ dest: file ?? 1, mkdir: true, sync: true, maxLength: UNWRITTEN_MAX })
  // A disk that is full must not end the process that is to record what was paid for.
  destination.on('error', () => undefined)
  const sparing = createSparing()
  return pino(
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
          // Without a message of its own, pino takes that of the error.
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
}

interface SparedLine {
  readonly err?: unknown
  readonly event?: unknown
  readonly code?: unknown
  readonly part?: unknown
  readonly step?: unknown
  readonly queue?: unknown
}

/** Of any level, and without an error: what one cause can bring many times a minute. */
const REPEATED: ReadonlySet<unknown> = new Set([
  'poll.run',
  'poll.overdue',
  'polls.refused',
  'polls.unanswered',
  'gate.held',
  'deliver.resting',
])

/**
 * Lines about an error, and those that repeat by their nature. One that names a submission is never left out: it may be the only
 * record of what was paid for.
 */
function isSpared(fields: unknown, level: number): fields is SparedLine {
  if (typeof fields !== 'object' || fields === null || 'submissionId' in fields) return false
  return (level >= WARN && 'err' in fields) || ('event' in fields && REPEATED.has(fields.event))
}

function kindOf({ event, code, part, step, queue, err }: SparedLine): string {
  const error = err === undefined ? undefined : kindOfError(err)
  return [event, code, part, step, queue, error].filter((one) => one !== undefined).join(' ')
}

/** Only what cannot hold a caller's data: Postgres puts whole rows, prompts included, into the details of its errors. */
function errorFields(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const code = 'code' in error ? error.code : undefined
  return { type: error.name, code, message: withoutQueries(error.message), stack: withoutQueries(error.stack ?? '') }
}

/** Fastify puts the address of a request, its query included, into messages: `defaults` of a batch holds prompts there. */
export function withoutQueries(text: string): string {
  return text.replace(/(\/[^\s"'?]*)\?[^\s"']*/g, '$1?…')
}

/** What Fastify logs of a request by itself, when it logs one. */
function requestFields(request: { readonly id?: unknown; readonly method?: unknown; readonly url?: unknown }): unknown {
  return { id: request.id, method: request.method, url: withoutQueries(String(request.url)) }
}
