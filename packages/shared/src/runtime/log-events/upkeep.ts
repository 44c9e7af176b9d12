// Events of the timers of a worker, and of work that is shared by many rows.

import { AS_POSTGRES, type LogEvent, NO_ACTION } from './event.ts'

export const UPKEEP_EVENTS = {
  'reconcile.failed': {
    level: 'error',
    meaning: 'A part of reconcile failed; the next round repeats the part.',
    fields: ['part', 'err'],
    action: 'Repair Postgres or Redis, as `err` says.',
  },
  'reconcile.pollers': {
    level: 'info',
    meaning: 'Pollers were missing and were created again: the first start, or a lost Redis.',
    fields: ['created'],
    action: 'After the first start: look at the durability of Redis with `npm run doctor`.',
  },
  'reconcile.requeued': {
    level: 'info',
    meaning: 'After jobs were lost, enqueued rows became due at once.',
    fields: ['rows'],
    action: NO_ACTION,
  },
  'reconcile.generations': {
    level: 'info',
    meaning: 'Overdue generations were enqueued again.',
    fields: ['submit', 'complete'],
    action: NO_ACTION,
  },
  'reconcile.deliveries': {
    level: 'info',
    meaning: 'Due deliveries were enqueued: after their back-off, or after lost jobs.',
    fields: ['deliveries'],
    action: NO_ACTION,
  },
  'reconcile.deliveries_cancelled': {
    level: 'info',
    meaning: 'The pending deliveries of a disabled endpoint were cancelled.',
    fields: ['endpointId', 'pages'],
    action: NO_ACTION,
  },
  'pollers.resting': {
    level: 'debug',
    meaning: 'No poll is due soon, so the pollers rest.',
    fields: ['pollers'],
    action: NO_ACTION,
  },
  'history.purged': {
    level: 'info',
    meaning: 'Rows older than `RETENTION_DAYS` were deleted.',
    fields: ['kind', 'rows'],
    action: NO_ACTION,
  },
  'history.purge_failed': {
    level: 'error',
    meaning: 'Deleting old rows failed; the next sweep continues.',
    fields: ['err'],
    action: AS_POSTGRES,
  },
  'microbatch.failed': {
    level: 'error',
    meaning: 'A statement for several rows failed; each row is tried alone.',
    fields: ['err'],
    action: 'If Postgres works, report `err`: it is a bug.',
  },
  'row.unstorable': {
    level: 'error',
    meaning: 'Postgres refused to write a row. The row is left out for a while and tried again.',
    fields: ['id', 'statement', 'failures', 'err'],
    action: 'Look for foreign triggers or constraints and for damaged pages in Postgres.',
  },
  'batch.change_failed': {
    level: 'error',
    meaning: 'Cancelling or retrying a batch stopped half-way; it continues later.',
    fields: ['batchId', 'err'],
    action: AS_POSTGRES,
  },
  'fan_out.failed': {
    level: 'error',
    meaning: 'Deliveries of the events of a project could not be created; the work continues later.',
    fields: ['projectId', 'err'],
    action: AS_POSTGRES,
  },
  'renders.unrecorded': {
    level: 'warn',
    meaning: 'Render times could not be recorded: a few renders are missing in estimates and poll schedules.',
    fields: ['renders', 'err'],
    action: AS_POSTGRES,
  },
  'answers.unrecorded': {
    level: 'warn',
    meaning: 'Counts of answers could not be recorded: a few answers are missing in `/metrics`.',
    fields: ['err'],
    action: AS_POSTGRES,
  },
  'step_runs.unrecorded': {
    level: 'warn',
    meaning: 'A step runs, and readiness does not know yet.',
    fields: ['step', 'err'],
    action: AS_POSTGRES,
  },
  'poll_schedules.stale': {
    level: 'warn',
    meaning: 'The poll schedules could not be refreshed, so polls follow the last schedules.',
    fields: ['err'],
    action: AS_POSTGRES,
  },
} as const satisfies Readonly<Record<string, LogEvent>>
