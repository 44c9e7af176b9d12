// Events of the steps that a generation passes: submit, poll, complete, deliver.

import { AS_POSTGRES, type LogEvent, NO_ACTION } from './event.ts'

const ATTEMPT = [
  'deliveryId',
  'eventId',
  'type',
  'attempt',
  'outcome',
  'errorClass',
  'httpStatus',
  'state',
  'durationMs',
] as const

export const PIPELINE_EVENTS = {
  'admit.failed': {
    level: 'warn',
    meaning: 'Admission failed; it runs again soon.',
    fields: ['err'],
    action: AS_POSTGRES,
  },
  'submit.recorded': {
    level: 'info',
    meaning: 'The outcome of a submission is recorded.',
    fields: ['generationId', 'submissionId', 'attempt', 'outcome', 'upstreamTaskId?', 'code?', 'status', 'durationMs'],
    action: NO_ACTION,
  },
  'submit.retry_scheduled': {
    level: 'info',
    meaning: 'The provider certainly refused a submission; another submission follows after a back-off.',
    fields: ['generationId', 'backoffMs'],
    action: NO_ACTION,
  },
  'submit.previous_task_polled': {
    level: 'info',
    meaning: 'Before a generation is paid for again, the task of a previous attempt was polled.',
    fields: ['generationId', 'upstreamTaskId', 'answer'],
    action: NO_ACTION,
  },
  'submit.unsent': {
    level: 'warn',
    meaning: 'The reply to the commit of a submission was lost, so nothing was sent and nothing is paid.',
    fields: ['generationId', 'submissionId', 'status'],
    action: 'Look for restarts of Postgres, or for a broken network, at that time.',
  },
  'submit.unrecorded': {
    level: 'error',
    meaning:
      'The outcome of a submission could not be recorded. An accepted submission is recorded again until Postgres is back.',
    fields: ['submissionId?', 'generationId?', 'upstreamTaskId?', 'outcome', 'tries', 'err'],
    action:
      'Repair Postgres, and keep the worker running until then. If the worker has to end, keep this line: a person can adopt the task `upstreamTaskId`.',
  },
  'gate.closed': {
    level: 'error',
    meaning: 'Answers of the provider closed the gate: submitting stops.',
    fields: ['cause', 'refusal?', 'released'],
    action:
      'Look at `cause` and `refusal`: the account, its balance, the key, or the way to the provider. The gate opens by itself when the provider accepts again.',
  },
  'gate.half_opened': {
    level: 'info',
    meaning: 'The provider answers again: a few submissions try whether it accepts.',
    fields: [],
    action: NO_ACTION,
  },
  'gate.cooling_down': {
    level: 'warn',
    meaning: 'The provider asked for fewer requests: submitting waits.',
    fields: ['forMs'],
    action: 'If the line is frequent, lower `UPSTREAM_MAX_IN_FLIGHT` or set `UPSTREAM_REQUESTS_PER_MINUTE`.',
    isLimited: true,
  },
  'gate.unrecorded': {
    level: 'error',
    meaning: 'The meaning of an answer for the gate could not be recorded.',
    fields: ['signal', 'err'],
    action: AS_POSTGRES,
  },
  'gate.probe_failed': {
    level: 'error',
    meaning: 'The gate could not be read or half-opened.',
    fields: ['err'],
    action: AS_POSTGRES,
  },
  'poll.run': {
    level: 'info',
    meaning: 'A poller has polled.',
    fields: ['polls', 'durationMs'],
    action: NO_ACTION,
    isLimited: true,
  },
  'poll.overdue': {
    level: 'warn',
    meaning: 'Generations failed because their render did not end in time, or was not found.',
    fields: ['code', 'generations'],
    action:
      'Ask the provider about the tasks. A video that exists can be adopted; `GENERATION_DEADLINE_MS` sets the limit.',
    isLimited: true,
  },
  'poll.unstorable': {
    level: 'error',
    meaning: 'A generation failed because Postgres refuses to store the answer of the provider.',
    fields: ['generationId', 'upstreamTaskId', 'answer', 'sqlState?'],
    action: 'Read the task at the provider: the video exists. Look for foreign triggers or constraints in Postgres.',
  },
  'poll.unrecorded': {
    level: 'error',
    meaning: 'Answers of polls could not be written; the polls are repeated.',
    fields: ['rows', 'err'],
    action: AS_POSTGRES,
  },
  'polls.refused': {
    level: 'warn',
    meaning: 'The provider refused more than half of the polls.',
    fields: ['refused', 'polls'],
    action: 'Check `UPSTREAM_API_KEY`.',
    isLimited: true,
  },
  'polls.unanswered': {
    level: 'warn',
    meaning: 'More than half of the polls had no readable answer.',
    fields: ['code', 'unanswered', 'polls'],
    action: 'Check the way to the provider, and whether the provider has an outage.',
    isLimited: true,
  },
  'complete.done': {
    level: 'info',
    meaning: 'A generation has ended with the answer of the provider.',
    fields: ['generationId'],
    action: NO_ACTION,
  },
  'deliver.attempted': {
    level: 'info',
    meaning: 'An attempt to deliver an event is recorded.',
    fields: ATTEMPT,
    action: NO_ACTION,
  },
  'deliver.address_refused': {
    level: 'warn',
    meaning: 'Nothing was sent, because the address of an endpoint is private.',
    fields: [...ATTEMPT, 'fix'],
    action: 'To allow a private network, name the network in `WEBHOOK_ALLOWED_NETWORKS`.',
  },
  'deliver.not_built': {
    level: 'error',
    meaning: 'Nothing was sent, because the request could not be built.',
    fields: [...ATTEMPT, 'err'],
    action: 'Check `SECRET_KEY` with `npm run doctor`.',
  },
  'deliver.cooling_down': {
    level: 'warn',
    meaning: 'An origin does not answer: its deliveries wait.',
    fields: ['origin', 'forMs'],
    action: 'Tell the owner of the endpoint, if the line repeats for hours.',
    isLimited: true,
  },
  'endpoint.disabled': {
    level: 'warn',
    meaning: 'An endpoint was disabled: it answered 410, or only failed for days.',
    fields: ['endpointId', 'reason'],
    action: 'Tell its owner, who may enable the endpoint again.',
  },
  'step.failed': {
    level: 'error',
    meaning: 'A step failed. Reconcile starts the step again.',
    fields: ['step', 'id', 'err'],
    action: 'If Postgres and Redis work, report `err`: it is a bug.',
  },
} as const satisfies Readonly<Record<string, LogEvent>>
