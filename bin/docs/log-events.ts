// docs/log-events.md: every event of the log, from the catalogue.

import { LOG_EVENTS } from '@reelqueue/shared/runtime/log-events/catalogue'
import { LOG_LEVELS, type LogEvent } from '@reelqueue/shared/runtime/log-events/event'
import { LOG_FIELDS } from '@reelqueue/shared/runtime/log-events/fields'
import { code, page, table } from './markdown.ts'

const TITLES = { error: 'Errors', warn: 'Warnings', info: 'Information', debug: 'Details' } as const

export function logEventsPage(): string {
  const events = Object.entries<LogEvent>(LOG_EVENTS)
  const sections = LOG_LEVELS.flatMap((level) => [
    `## ${TITLES[level]} (${code(level)})`,
    table(
      ['Event', 'What has happened', 'Fields', 'What to do'],
      events
        .filter(([, event]) => event.level === level)
        .map(([name, { meaning, fields, action, isLimited }]) => [
          isLimited ? `${code(name)} \\*` : code(name),
          meaning,
          fields.map(code).join(', '),
          action,
        ]),
    ),
  ])
  return page(
    'Events of the log',
    '`runtime/log-events`',
    'API and workers write one JSON object a line to standard output. `LOG_LEVEL` sets the lowest level that is written. Each line has `level` (10 to 60, as in [pino](https://getpino.io): 20 debug, 30 info, 40 warn, 50 error), `time` and `event`; lines of a request also have `reqId`. The name of an event is stable. No line has a prompt, a key or a secret. Lines without `event` come from Fastify, the HTTP server.',
    'A line with `err`, and a line of an event with an asterisk, is written once in ten seconds for each kind of failure; the last line of the ten seconds has `leftOut`, the number of omitted lines. A line with `submissionId` is never omitted. A field with a question mark may be absent.',
    ...sections,
    '## Fields',
    table(
      ['Field', 'Meaning'],
      Object.entries(LOG_FIELDS).map(([name, { meaning }]) => [code(name), meaning]),
    ),
  )
}
