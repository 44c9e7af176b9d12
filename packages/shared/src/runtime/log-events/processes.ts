// Events of processes and of their servers: starts, the doctor, HTTP requests, Postgres, the queues.

import { AS_POSTGRES, type LogEvent, NO_ACTION } from './event.ts'

export const PROCESS_EVENTS = {
  'api.started': {
    level: 'info',
    meaning: 'The API listens.',
    fields: ['url', 'publicUrl?', 'queue'],
    action: NO_ACTION,
  },
  'worker.started': {
    level: 'info',
    meaning: 'The worker takes jobs.',
    fields: ['queue', 'submits', 'proxy?'],
    action: 'If `submits` is false, set `UPSTREAM_API_KEY`: without the key nothing is submitted.',
  },
  'migration.waiting': {
    level: 'warn',
    meaning: 'A start waits for the migration of another process.',
    fields: ['detail'],
    action: 'If the line repeats, look for a migration that hangs.',
  },
  'doctor.finding': {
    level: 'warn',
    meaning: 'At a start the doctor found a risk, or a server that does not answer.',
    fields: ['check', 'detail', 'fix', 'result'],
    action: 'Do what `fix` says; [doctor](doctor.md) explains the check.',
  },
  'doctor.failed': {
    level: 'error',
    meaning: 'The doctor itself failed while it asked the provider.',
    fields: ['err'],
    action: 'Report `err`: it is a bug.',
  },
  'ledger.copied': {
    level: 'warn',
    meaning: 'The database seems to be an older copy, in which nothing waits.',
    fields: ['detail'],
    action: 'Read [restoring](restoring.md).',
  },
  'ledger.mark_failed': {
    level: 'warn',
    meaning: 'The progress of the database could not be marked in `DATA_DIR` or in Redis.',
    fields: ['err'],
    action: 'Make `DATA_DIR` writable: without a mark, a restored backup is not noticed.',
  },
  'submitting.paused': {
    level: 'warn',
    meaning: 'A start paused submitting.',
    fields: ['reason', 'fix'],
    action: 'Do what `fix` says; see [restoring](restoring.md).',
  },
  'postgres.error': {
    level: 'warn',
    meaning: 'A connection to Postgres failed.',
    fields: ['err', 'server'],
    action: AS_POSTGRES,
  },
  'postgres.log': {
    level: 'debug',
    meaning: 'The embedded Postgres printed a line.',
    fields: ['line'],
    action: NO_ACTION,
  },
  'queue.error': {
    level: 'warn',
    meaning: 'A queue reported an error of its server.',
    fields: ['err', 'server?'],
    action: 'Repair Redis or Postgres, as `err` says; nothing is lost.',
  },
  'queue.dropped': {
    level: 'warn',
    meaning: 'Jobs could not be added to a queue. Reconcile enqueues the rows when the queue works again.',
    fields: ['queue', 'count', 'err'],
    action: 'Repair Redis or Postgres, as `err` says; nothing is lost.',
  },
  'request.completed': {
    level: 'info',
    meaning: 'A request was answered. `reqId` is the request id of the reply.',
    fields: ['method', 'route', 'httpStatus', 'durationMs'],
    action: NO_ACTION,
  },
  'request.unavailable': {
    level: 'warn',
    meaning: 'A request was answered with 503, because Postgres cannot work.',
    fields: ['why', 'err'],
    action: 'Repair Postgres, as `why` says.',
  },
  'request.failed': {
    level: 'error',
    meaning: 'A request was answered with 500.',
    fields: ['err'],
    action: 'Report `err`: it is a bug.',
  },
  'upload.cut_off': {
    level: 'info',
    meaning: 'A client disconnected before its upload ended. Nothing was stored.',
    fields: ['bytes'],
    action: NO_ACTION,
  },
  'wait.failed': {
    level: 'warn',
    meaning: 'A request that waits for a generation could not look at the generation; it looks again.',
    fields: ['err'],
    action: AS_POSTGRES,
  },
  'operator.login_blocked': {
    level: 'warn',
    meaning: 'A client gave too many wrong passwords and has to wait.',
    fields: ['client', 'waitMs'],
    action: 'If no operator of yours is behind `client`, somebody guesses passwords: block the address.',
  },
} as const satisfies Readonly<Record<string, LogEvent>>
