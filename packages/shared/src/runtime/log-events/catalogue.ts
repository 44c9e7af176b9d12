// Every event that Reelqueue logs. The type of `Logger` and docs/log-events.md are made from this catalogue. The name of an event is
// stable: operators search and alert by name.

import type { LogEvent, LogLevel } from './event.ts'
import type { LogField, LogFieldType } from './fields.ts'
import { PIPELINE_EVENTS } from './pipeline.ts'
import { PROCESS_EVENTS } from './processes.ts'
import { UPKEEP_EVENTS } from './upkeep.ts'

export const LOG_EVENTS = { ...PROCESS_EVENTS, ...PIPELINE_EVENTS, ...UPKEEP_EVENTS }
export type LogEventName = keyof typeof LOG_EVENTS

type FieldsOf<Listed extends LogEvent['fields'][number]> = {
  readonly [Name in Extract<Listed, LogField>]: LogFieldType<Name>
} & {
  readonly [Name in Listed extends `${infer Optional extends LogField}?` ? Optional : never]?:
    | LogFieldType<Name>
    | undefined
}

type LineOf<Name extends LogEventName> = { readonly event: Name } & FieldsOf<
  (typeof LOG_EVENTS)[Name]['fields'][number]
>

/** The lines that may be written at a level. */
export type LogLine<Level extends LogLevel> = {
  [Name in LogEventName]: (typeof LOG_EVENTS)[Name]['level'] extends Level ? LineOf<Name> : never
}[LogEventName]

const LIMITED: ReadonlySet<unknown> = new Set(
  Object.entries<LogEvent>(LOG_EVENTS).flatMap(([name, { isLimited }]) => (isLimited ? [name] : [])),
)

/** Whether only one line of the event is written in ten seconds. */
export function isLimited(event: unknown): boolean {
  return LIMITED.has(event)
}
