// Every refusal to a caller: one catalogue makes the RFC 9457 replies and docs/problems.md. Clients branch on `code`,
// which never changes; titles and details may change.

export const PROBLEMS = {
  malformed_json: { status: 400, title: 'The body is not valid JSON', fix: 'Send one JSON document in UTF-8.' },
  malformed_request: {
    status: 400,
    title: 'The request could not be read',
    fix: 'Check the request line, headers and body.',
  },
  unauthorized: {
    status: 401,
    title: 'The API key is missing, unknown or revoked',
    fix: 'Send `Authorization: Bearer <key>`. An operator makes keys with `npm run keys -- create`.',
  },
  operator_login_required: {
    status: 401,
    title: 'This page is for operators',
    fix: "Log in with any user name and the operator's password: OPERATOR_PASSWORD, or else the one that was printed at the first start (`npm run keys -- operator-password` makes another).",
  },
  wrong_password: {
    status: 401,
    title: 'The name or the password is wrong',
    fix: "Check both. The operator's password works with any name that is no operator's name; `npm run operators -- create` adds an operator.",
  },
  cross_site: {
    status: 403,
    title: 'A page of another site asked for this change',
    fix: 'Open the page at the address of Reelqueue itself. If you did so, a reverse proxy hides the address: set PUBLIC_URL to it.',
  },
  read_only: {
    status: 403,
    title: 'This login may read, but not change anything',
    fix: "Log in with the operator's password.",
  },
  not_allowed: {
    status: 403,
    title: 'This login may not read this',
    fix: 'Log in as an operator. A member reads one project only, and only operators manage logins.',
  },
  not_found: {
    status: 404,
    title: 'Not found: unknown id or address',
    fix: 'Check the address (see /docs), the id, and that the key belongs to its project.',
  },
  method_not_allowed: {
    status: 405,
    title: 'This address does not accept the method',
    fix: 'Use a method that the header `Allow` names.',
  },
  request_timeout: {
    status: 408,
    title: 'The body did not arrive in time',
    fix: 'Send the request again on a new connection. A body has 30 s; an upload of a batch has 15 minutes, without a pause of 30 s.',
  },
  idempotency_conflict: {
    status: 409,
    title: 'This Idempotency-Key was used with another request',
    fix: 'Use a new key for a new request, or send the same request again.',
  },
  illegal_move: {
    status: 409,
    title: 'The status of the generation does not allow this',
    fix: 'Read the generation: its status says what is possible.',
  },
  upstream_task_taken: {
    status: 409,
    title: 'That upstream task belongs to another generation',
    fix: 'Check the id: a task belongs to one generation only.',
  },
  no_unknown_submission: {
    status: 409,
    title: 'No submission of the generation has an unknown outcome',
    fix: 'Each of its submissions was answered, so the task belongs to none of them. An operator may adopt it nevertheless: `POST /admin/generations/{id}/adopt`.',
  },
  nothing_to_retry: {
    status: 409,
    title: 'The batch has no failed generation that was not retried already',
    fix: 'Generations that failed again are in the child batches: `GET /v1/batches?parent_batch_id=…`. Cancelled generations are not retried.',
  },
  operator_exists: {
    status: 409,
    title: 'Another operator has that name',
    fix: 'Choose another name, or change that operator: `GET /admin/v1/operators` lists all operators.',
  },
  endpoint_exists: {
    status: 409,
    title: 'Another endpoint of the project has that URL',
    fix: 'Change that endpoint: `GET /v1/webhook_endpoints` lists all endpoints.',
  },
  too_many_endpoints: {
    status: 409,
    title: 'The project has the maximum of 50 endpoints',
    fix: 'Delete an endpoint, or send several event types to one endpoint.',
  },
  endpoint_disabled: {
    status: 409,
    title: 'The endpoint is disabled or deleted',
    fix: 'Enable it first: PATCH it with `{"enabled": true}`.',
  },
  body_too_large: {
    status: 413,
    title: 'The body is too large',
    fix: 'Send less in one request: at most 1 MiB, a batch at most 40 MiB as JSON or 200 MiB as JSON Lines.',
  },
  batch_too_large: {
    status: 413,
    title: 'The batch has too many items',
    fix: 'Split it: at most 50,000 items in one batch.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'The content type is not supported',
    fix: 'Send `Content-Type: application/json`; a batch may also come as JSON Lines (`application/x-ndjson`). Either may be compressed (`Content-Encoding: gzip`). The header `Accept-Post` names the accepted types.',
  },
  expectation_failed: {
    status: 417,
    title: 'The header `Expect` asks for something unknown',
    fix: 'Leave it out, or send `Expect: 100-continue`.',
  },
  validation_failed: {
    status: 422,
    title: 'Some fields are wrong',
    fix: 'See `errors`: each names the field, the rule and what is allowed.',
  },
  upstream_task_unknown: {
    status: 422,
    title: 'The provider knows no such task',
    fix: 'Check the id. The provider forgets a task about a day after its creation.',
  },
  slots_full: {
    status: 429,
    title: 'The task still renders, and no slot is free for it',
    fix: 'Adopt the task after `Retry-After`, or when the task is done and needs no slot. To adopt it sooner, pause the project, or raise its `max_in_flight` or UPSTREAM_MAX_IN_FLIGHT.',
  },
  backlog_full: {
    status: 429,
    title: 'The project has the maximum number of queued generations',
    fix: 'Send the request again after `Retry-After`. An operator sets the maximum: QUEUED_MAX_PER_PROJECT.',
  },
  too_many_at_once: {
    status: 429,
    title: 'The project has too many requests at the same time',
    fix: 'Send the request again after `Retry-After`, and fewer at the same time (docs/limits.md).',
  },
  rate_limited: {
    status: 429,
    title: 'This key has sent too many requests in a minute',
    fix: 'Send the request again after `Retry-After`; batches need fewer requests.',
  },
  too_many_guesses: {
    status: 429,
    title: 'Too many wrong passwords',
    fix: 'Wait for `Retry-After`, then log in with the right password. If all clients share the address of a reverse proxy, set TRUSTED_PROXIES.',
  },
  internal_error: {
    status: 500,
    title: 'Reelqueue failed to answer',
    fix: 'Try again; the log has the cause under this request id.',
  },
  ending: {
    status: 503,
    title: 'This process is stopping',
    fix: 'Send the request again on a new connection: another process answers, or this one after its restart.',
  },
  busy: {
    status: 503,
    title: 'This process has too many requests at the same time',
    fix: 'Send the request again after `Retry-After`.',
  },
  upstream_unavailable: {
    status: 503,
    title: 'The provider could not be asked',
    fix: 'Nothing was changed. Send the request again after `Retry-After`.',
  },
  unavailable: {
    status: 503,
    title: 'A part that Reelqueue needs is down',
    fix: 'Try again soon; /readyz says which part.',
  },
} as const satisfies Record<string, { readonly status: number; readonly title: string; readonly fix: string }>
export type ProblemCode = keyof typeof PROBLEMS

export interface FieldError {
  /** Path of the field in the request, such as `items.3.seconds`. */
  readonly field: string
  /** Stable name of the broken rule. */
  readonly rule: string
  /** The accepted values: a list, a bound, or words. */
  readonly allowed: unknown
  /** Number of the item in its batch, from 1. */
  readonly line?: number
  /** The received short text, to compare with `allowed`; never shown. */
  readonly received?: string
}

/**
 * A refusal to a caller. Routes throw a problem; the HTTP boundary turns the problem into `application/problem+json`.
 */
export class Problem extends Error {
  readonly code: ProblemCode
  readonly detail: string
  readonly errors: readonly FieldError[] | undefined
  /** The number of wrong fields; `errors` may list only the first fields. */
  readonly total: number | undefined

  constructor(code: ProblemCode, detail?: string, errors?: readonly FieldError[], total?: number) {
    super(`${code}: ${detail ?? PROBLEMS[code].title}`)
    this.name = 'Problem'
    this.code = code
    this.detail = detail ?? PROBLEMS[code].fix
    this.errors = errors
    this.total = total ?? errors?.length
  }
}

/** A refusal that ends by itself. The reply tells the time in `Retry-After`. */
export class Later extends Problem {
  readonly retryAfterSeconds: number

  constructor(code: ProblemCode, retryAfterSeconds: number, detail?: string) {
    super(code, detail)
    this.retryAfterSeconds = retryAfterSeconds
  }
}
