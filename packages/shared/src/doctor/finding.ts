// The doctor's report: one finding for each check. The files *-findings.ts are pure: facts in, findings out. The
// adapters gather the facts, and bin/doctor brings facts and findings together.

export type Level =
  | 'ok'
  /** Works, with a risk. */
  | 'warning'
  /** A server does not answer at present. A start goes on, because accepting needs only Postgres. */
  | 'down'
  /** Would do damage, or cannot work at all: a start is refused. */
  | 'wrong'

/** Every check, with its subject and its results. docs/doctor.md is made from this table. */
export const CHECKS = {
  postgres:
    'Postgres answers, is recent enough (14), keeps text in UTF8 and can be written to, its sessions are in UTC, and no pooler in transaction mode is used. Otherwise **wrong**: nothing could be accepted, or accepted generations would not move. Shows the time zone of the server, which has no effect.',
  postgres_writing:
    'Postgres accepts a write, which is rolled back. **Down** when not, with the cause, such as a full disk.',
  postgres_durability:
    '`fsync`, `full_page_writes` and `synchronous_commit` are on. **Warning** when not: accepted generations may be lost when the server crashes.',
  postgres_connections:
    'Postgres has room for the connections that one process may open. **Warning** when not: under load some connections would be refused. Shows how many processes with these settings the server can serve.',
  migrations: 'The tables of Reelqueue and of its queues belong to this version. **Wrong** when not.',
  ledger:
    'The database is as recent as its workers left it. **Warning** when it seems to be an older copy (a restored backup): a worker that starts on it pauses submitting when generations wait. See [restoring](restoring.md).',
  clock:
    "This machine's clock agrees with the database's; half of the round trip is subtracted. **Warning** above 2 s, **wrong** above 30 s: delayed jobs and pollers run by this machine's clock, and receivers refuse webhooks whose time is minutes off.",
  secret_key:
    '`SECRET_KEY` decrypts the stored webhook secrets. **Wrong** when it decrypts no secret (no webhook could be signed), a **warning** when it decrypts only some.',
  redis:
    'Redis answers (else **down**), is recent enough for BullMQ, and is neither a replica, a Sentinel nor a node of a Redis Cluster of several masters (else **wrong**).',
  redis_commands:
    'Redis lets the queues run every command that they need; each command is tried on keys that are deleted again. **Wrong** when permissions or commands are missing, **down** while Redis refuses for a temporary cause such as full memory, a **warning** when its memory is nearly full.',
  redis_eviction: '`maxmemory-policy` is `noeviction`. Otherwise **wrong**: Redis would delete parts of the queues.',
  redis_persistence:
    'Redis writes its data to disk. **Warning** when not: after a restart of Redis, work stops for up to one `RECONCILE_INTERVAL_MS`.',
  upstream:
    'The provider answers a free request about a task that does not exist. **Down** when not; **warning** when it refuses the key, or no key is set; **wrong** when key or URL cannot be used at all. A start does not wait for this answer.',
  upstream_proxy:
    'Shows the proxy to the provider: `HTTPS_PROXY` or `HTTP_PROXY`, unless `NO_PROXY` names the host of the provider. Webhooks and all other connections use no proxy. **Warning** when the provider is on this machine and a proxy is used. The check `upstream` shows whether the proxy works.',
  webhook_networks:
    "`WEBHOOK_ALLOWED_NETWORKS` neither contains all addresses nor lets a webhook reach a cloud's metadata service, which hands out credentials. **Warning** when it does.",
  operator_password: '`OPERATOR_PASSWORD`, when set, has at least 8 characters. **Warning** when not.',
  bootstrap_api_key:
    '`BOOTSTRAP_API_KEY`, when set, has at least 24 characters. **Warning** when not: it can be guessed.',
  trusted_proxies:
    '`TRUSTED_PROXIES` does not contain all addresses. **Warning** when it does: every client could claim another address and host.',
  start_paused: '`START_PAUSED` is not set. **Warning** when it is: each start pauses submitting again.',
} as const
export type Check = keyof typeof CHECKS

export interface Finding {
  readonly check: Check
  readonly level: Level
  /** The observation. Never a secret. */
  readonly detail: string
  /** The advice; null when there is nothing to do, or when the detail already contains the advice. */
  readonly fix: string | null
}

/** Instead of facts: the reason why the server did not answer. */
export interface Unreachable {
  readonly unreachable: string
}

export function fine(check: Check, detail: string): Finding {
  return { check, level: 'ok', detail, fix: null }
}
