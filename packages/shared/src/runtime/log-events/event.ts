// One event of the log, as the catalogue describes events.

import type { LogField } from './fields.ts'

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export interface LogEvent {
  readonly level: LogLevel
  /** What has happened. */
  readonly meaning: string
  /** The fields of the line; a field with a question mark may be absent. */
  readonly fields: readonly (LogField | `${LogField}?`)[]
  /** What an operator should do. */
  readonly action: string
  /** The event may repeat many times a minute from a single cause: of these lines one in ten seconds is written. */
  readonly isLimited?: true
}

export const NO_ACTION = 'Nothing.'
export const AS_POSTGRES = 'Repair Postgres, as `err` says; the work is repeated.'
