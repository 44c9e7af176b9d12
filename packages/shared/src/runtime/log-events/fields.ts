// The fields of log lines: one name has one meaning and one type in all events. docs/log-events.md shows the meanings.

interface Field {
  readonly type: keyof Types
  readonly meaning: string
}

/** The types of values in a line. */
interface Types {
  text: string
  nullableText: string | null
  number: number
  nullableNumber: number | null
  flag: boolean
  names: readonly (string | number)[]
  /** An `Error` is written with type, code, message and stack. */
  error: unknown
}

export const LOG_FIELDS = {
  answer: { type: 'text', meaning: 'The kind of answer of the provider.' },
  attempt: { type: 'number', meaning: 'The number of the attempt, from 1: of a generation or of a delivery.' },
  backoffMs: { type: 'number', meaning: 'The time until the next submission.' },
  batchId: { type: 'text', meaning: 'The id of the batch.' },
  bytes: { type: 'number', meaning: 'The bytes received so far.' },
  cause: { type: 'text', meaning: 'Why the gate closed: `unreachable`, or the class of the refusal.' },
  check: { type: 'text', meaning: 'The check of the doctor.' },
  client: { type: 'text', meaning: 'The address of the client.' },
  code: { type: 'text', meaning: 'The error code of the generation, or the class of the missing answers.' },
  complete: { type: 'number', meaning: 'The generations whose complete step was enqueued.' },
  count: { type: 'number', meaning: 'The number of jobs.' },
  created: { type: 'names', meaning: 'The pollers that were created again.' },
  deliveries: { type: 'number', meaning: 'The number of deliveries.' },
  deliveryId: { type: 'text', meaning: 'The id of the delivery.' },
  detail: { type: 'text', meaning: 'The observation, in words.' },
  durationMs: { type: 'number', meaning: 'The time from begin to end.' },
  endpointId: { type: 'text', meaning: 'The id of the webhook endpoint.' },
  err: { type: 'error', meaning: 'The error: its message, or an object with `type`, `code`, `message` and `stack`.' },
  errorClass: { type: 'nullableText', meaning: 'The class of the failed attempt, such as `timeout`.' },
  eventId: { type: 'text', meaning: 'The id of the event, which is the `webhook-id` of the request.' },
  failures: { type: 'nullableNumber', meaning: 'The failures of the row so far.' },
  fix: { type: 'nullableText', meaning: 'What to do, in words.' },
  forMs: { type: 'number', meaning: 'The length of the cool-down.' },
  generationId: { type: 'text', meaning: 'The id of the generation.' },
  generations: { type: 'number', meaning: 'The number of generations.' },
  httpStatus: { type: 'nullableNumber', meaning: 'The HTTP status of the reply; null without a reply.' },
  id: { type: 'text', meaning: 'The id of the row.' },
  kind: { type: 'text', meaning: 'The kind of deleted rows.' },
  line: { type: 'text', meaning: 'A line that the embedded Postgres printed.' },
  method: { type: 'text', meaning: 'The HTTP method.' },
  origin: { type: 'text', meaning: 'The origin of webhook URLs: scheme, host and port.' },
  outcome: { type: 'text', meaning: 'The outcome of the submission or of the attempt.' },
  pages: { type: 'number', meaning: 'The number of pages of rows.' },
  part: { type: 'text', meaning: 'The part of reconcile.' },
  pollers: { type: 'names', meaning: 'The pollers that now rest.' },
  polls: { type: 'number', meaning: 'The number of polls.' },
  projectId: { type: 'text', meaning: 'The id of the project.' },
  proxy: { type: 'text', meaning: 'The proxy to the provider.' },
  publicUrl: { type: 'text', meaning: '`PUBLIC_URL`.' },
  queue: { type: 'text', meaning: 'The queue, or at a start what the queues run on: `redis` or `postgres`.' },
  reason: { type: 'text', meaning: 'The reason, in words.' },
  refusal: { type: 'text', meaning: 'The words of the provider.' },
  refused: { type: 'number', meaning: 'The refused polls.' },
  released: { type: 'number', meaning: 'The generations that gave back their slots.' },
  renders: { type: 'number', meaning: 'The number of renders.' },
  result: { type: 'text', meaning: 'The result of the check: `warning` or `down`.' },
  route: { type: 'text', meaning: 'The route, with the names of its parameters.' },
  rows: { type: 'number', meaning: 'The number of rows.' },
  server: { type: 'text', meaning: 'The server, and the setting that names the server.' },
  signal: { type: 'text', meaning: 'What the answer means for the gate.' },
  sqlState: { type: 'text', meaning: "Postgres' code of the error." },
  state: { type: 'text', meaning: 'The state of the delivery after the attempt.' },
  statement: { type: 'text', meaning: 'The kind of the refused statement.' },
  status: { type: 'text', meaning: 'The status of the generation.' },
  step: { type: 'text', meaning: 'The step.' },
  submissionId: { type: 'text', meaning: 'The id of the submission.' },
  submit: { type: 'number', meaning: 'The generations whose submit step was enqueued.' },
  submits: { type: 'flag', meaning: 'Whether the worker has a key of the provider.' },
  tries: { type: 'number', meaning: 'The number of tries.' },
  type: { type: 'text', meaning: 'The type of the event.' },
  unanswered: { type: 'number', meaning: 'The polls without information in the answer.' },
  upstreamTaskId: { type: 'nullableText', meaning: 'The id of the upstream task.' },
  url: { type: 'text', meaning: 'The address of the API.' },
  waitMs: { type: 'number', meaning: 'The time until the client may try again.' },
  why: { type: 'text', meaning: 'Why Postgres cannot work at present.' },
} as const satisfies Readonly<Record<string, Field>>

export type LogField = keyof typeof LOG_FIELDS
export type LogFieldType<Name extends LogField> = Types[(typeof LOG_FIELDS)[Name]['type']]
