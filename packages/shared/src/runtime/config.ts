// The only reader of environment variables. Each variable is described once, here: docs/configuration.md is generated from this file.

import { z } from 'zod'
import { networks, port, proxyUrl, publicUrl, secretKey, slotsPerModel, text, url, whole } from './config-rules.ts'
import { postgresUrlProblem } from './postgres-url.ts'

const DAY_MS = 24 * 3_600_000

export const VARIABLES = {
  DATABASE_URL: url('postgres', 'postgresql')
    .superRefine((value, context) => {
      const problem = URL.canParse(value) ? postgresUrlProblem(value) : null
      if (problem !== null) context.addIssue({ code: 'custom', message: problem })
    })
    .optional()
    .describe(
      'Postgres. Absent: `npm start`, `npm run demo` and `npm test` run an embedded Postgres, and `npm run keys` and `npm run doctor` use the one of `npm start`; the other commands require this setting. A pooler must be in session mode and have room for all connections (`npm run doctor` says how many a process opens). The URL may have the TLS parameters sslmode, sslrootcert, sslcert and sslkey; other parameters are refused by name. Of the PG… variables only PGPASSWORD and PGPASSFILE are read.',
    ),
  REDIS_URL: url('redis', 'rediss')
    .optional()
    .describe(
      'Redis for the queues: one server, or a name that leads to the present primary (after a failover all processes reconnect by themselves). A start refuses a Sentinel and a Cluster of several masters. Absent: BullMQ runs on its own Postgres backend, in the same database.',
    ),
  UPSTREAM_BASE_URL: url('http', 'https')
    .default('https://zcbservice.aizfw.cn/kyyReactApiServer')
    .describe("The provider's base URL, with or without a trailing slash or /v1."),
  UPSTREAM_API_KEY: text
    .optional()
    .describe(
      'The key that pays for renders. Absent: requests are accepted and kept, nothing is submitted, and /readyz says so.',
    ),
  HTTPS_PROXY: proxyUrl
    .optional()
    .describe(
      'The proxy through which a provider at https:// is reached. Webhooks, Postgres and Redis never go through it. The lower-case name works too, also for the next two settings.',
    ),
  HTTP_PROXY: proxyUrl
    .optional()
    .describe('The same for a provider at http://. It must allow tunnels (CONNECT) to the port of that provider.'),
  NO_PROXY: text
    .optional()
    .describe(
      'Hosts that are reached without the proxy, separated by commas: names with their subdomains, addresses, networks, each with a port or without, or `*`.',
    ),
  HOST: text.default('127.0.0.1').describe('Address that the API listens on.'),
  PORT: port.default(3000).describe('Port that the API listens on; 0 lets the system choose.'),
  PUBLIC_URL: publicUrl
    .optional()
    .describe(
      'The address of the API for people and programs behind a reverse proxy, such as https://example.com or https://example.com/reelqueue (the proxy may strip that path or pass it on). Absent: the address of each request.',
    ),
  TRUSTED_PROXIES: networks
    .default([])
    .describe(
      'Networks (CIDR, comma-separated) of the reverse proxies in front of the API. Only their `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto` are trusted, so each proxy must set these headers itself (a bare `proxy_pass` of nginx forwards the headers of the client). Absent: no proxy is trusted.',
    ),
  BOOTSTRAP_API_KEY: text
    .regex(/^\S{8,}$/, 'must have at least 8 characters and no spaces')
    .optional()
    .describe('API key of the project `default`, created at the first start. Absent: a key is made and printed once.'),
  BOOTSTRAP_WEBHOOK_SECRET: text
    .regex(/^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/, 'must be whsec_ and 24 to 64 bytes in base64')
    .optional()
    .describe(
      'Webhook secret of the project `default`, stored at the first start. Absent: a secret is made and printed once.',
    ),
  OPERATOR_PASSWORD: text
    .optional()
    .describe(
      'Login (any user name) of the operator pages. Absent: a password is made at the first start, printed once and stored hashed; `npm run keys -- operator-password` makes another.',
    ),
  VIEWER_PASSWORD: text.optional().describe('Login of the operator pages that may read but not change anything.'),
  WEBHOOK_ALLOWED_NETWORKS: networks
    .default([])
    .describe(
      'Networks (CIDR, comma-separated) that webhooks may reach although they are private. Host names of webhooks are resolved by `/etc/hosts` and DNS only, without search domains.',
    ),
  WEBHOOK_ALLOW_HTTP: z
    .enum(['true', 'false'], 'must be true or false')
    .default('true')
    .transform((value) => value === 'true')
    .describe(
      'Whether webhooks may use http. False: only https, except to WEBHOOK_ALLOWED_NETWORKS. The default is false where NODE_ENV is `production`, as in the image.',
    ),
  IMAGE_ALLOW_PRIVATE_HOSTS: z
    .enum(['true', 'false'], 'must be true or false')
    .default('false')
    .transform((value) => value === 'true')
    .describe(
      'Whether images of requests may be in private networks (10.0.0.0/8, localhost, names without a dot …); only for a provider that can reach them.',
    ),
  UPSTREAM_MAX_IN_FLIGHT: whole(1, 100_000)
    .default(100)
    .describe('How many generations may be in flight at the provider at the same time, over all workers.'),
  UPSTREAM_MAX_IN_FLIGHT_PER_MODEL: slotsPerModel
    .default({})
    .describe('Fewer slots for single models, such as openAiSora2Pro=20,openAiSora2Plus=60.'),
  UPSTREAM_REQUESTS_PER_MINUTE: whole(1, 1_000_000)
    .optional()
    .describe(
      'Requests to the provider in a minute, submissions and polls together, over all workers. Absent: no limit.',
    ),
  QUEUED_MAX_PER_PROJECT: whole(1, 10_000_000)
    .default(500_000)
    .describe('How many generations of one project may be queued; further requests are answered with 429.'),
  REQUESTS_PER_MINUTE_PER_KEY: whole(1, 1_000_000)
    .optional()
    .describe(
      'Requests of one API key that each API process accepts in a minute; further requests are answered with 429. Absent: no limit.',
    ),
  POLL_INTERVAL_MIN_MS: whole(10, DAY_MS)
    .optional()
    .describe(
      'Shortest time between two polls of one generation. Absent: 5 s where the render times of such clips are known; else, and while very many generations are in flight, 30 s.',
    ),
  POLL_INTERVAL_MAX_MS: whole(10, DAY_MS)
    .optional()
    .describe(
      'Longest time between two polls of one generation whose polls are answered, and before the first poll. Absent: 10 minutes where the render times of such clips are known, else 60 s.',
    ),
  UPSTREAM_TIMEOUT_MS: whole(100, 600_000)
    .default(60_000)
    .describe(
      'Total time of one create request to the provider, from connect to last byte. A poll has the same time, but never more than 15 s.',
    ),
  GENERATION_DEADLINE_MS: whole(1_000, 20 * 3_600_000)
    .default(2 * 3_600_000)
    .describe('A generation fails this long after its submission was accepted, unless it has ended (at most 20 h).'),
  RECONCILE_INTERVAL_MS: whole(100, 600_000).default(15_000).describe('How often each worker looks for overdue rows.'),
  RETENTION_DAYS: whole(30, 36_500)
    .optional()
    .describe(
      'Generations, batches, events and delivery logs are deleted this many days after their end, and their idempotency keys with them. Absent: they are kept.',
    ),
  LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('Lowest level of log lines that are written.'),
  SECRET_KEY: secretKey
    .optional()
    .describe(
      'Encrypts webhook secrets at rest: 32 bytes in base64. Generated in DATA_DIR with the embedded Postgres, else required.',
    ),
  SECRET_KEY_PREVIOUS: secretKey
    .optional()
    .describe(
      'The other key while SECRET_KEY changes. It decrypts stored secrets, and encrypts nothing. See docs/secret-key.md.',
    ),
  DATA_DIR: text
    .default('.reelqueue')
    .describe(
      'Folder of the embedded Postgres, of the generated SECRET_KEY and of the marker that shows when an older copy of the database was restored (docs/restoring.md).',
    ),
  DATABASE_CONNECTIONS_MAX: whole(2, 500)
    .default(10)
    .describe(
      'Connections to Postgres that one process may open for its own statements. Connections are opened when needed.',
    ),
  QUEUE_CONNECTIONS_MAX: whole(8, 500)
    .default(12)
    .describe(
      'Without REDIS_URL: further connections to Postgres that one process may open for the queues. A worker keeps five of them to listen for jobs.',
    ),
  START_PAUSED: z
    .enum(['true', 'false'], 'must be true or false')
    .default('false')
    .transform((value) => value === 'true')
    .describe(
      'Whether a start pauses submitting, until an operator resumes it (POST /admin/submitting/resume): for the first start on a restored backup (docs/restoring.md). Remove the setting afterwards, because each start with it pauses again.',
    ),
  SIMULATOR_PORT: port
    .default(4010)
    .describe('Port of the upstream simulator (`npm run simulator`); 0 lets the system choose.'),
} as const

/** Names defined by other programs, which read the lower-case name first. */
const ALSO_LOWER_CASE: ReadonlySet<string> = new Set(['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY'])

export type VariableName = keyof typeof VARIABLES

const schema = z
  .object(VARIABLES)
  .refine(({ POLL_INTERVAL_MIN_MS: min, POLL_INTERVAL_MAX_MS: max }) => (min ?? 0) <= (max ?? DAY_MS), {
    path: ['POLL_INTERVAL_MIN_MS'],
    message: 'must not be above POLL_INTERVAL_MAX_MS',
  })

export type Config = z.output<typeof schema>

/** A configuration error. The message names each wrong variable and its rule, and never quotes a value: a value may be a secret. */
export class ConfigError extends Error {}

/**
 * Reads and checks the configuration.
 * @throws ConfigError naming each wrong variable
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const present = Object.fromEntries(
    Object.keys(VARIABLES).map((name) => [
      name,
      (ALSO_LOWER_CASE.has(name) && env[name.toLowerCase()]) || env[name] || undefined,
    ]),
  )
  if (env.NODE_ENV === 'production') present.WEBHOOK_ALLOW_HTTP ??= 'false'
  const result = schema.safeParse(present)
  if (result.success) return result.data
  const lines = result.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`)
  throw new ConfigError(`Wrong configuration:\n${lines.join('\n')}\nSee docs/configuration.md.`)
}

/**
 * The value of a variable that a command requires.
 * @throws ConfigError naming the absent variable
 */
export function required<K extends 'DATABASE_URL' | 'SECRET_KEY'>(config: Config, name: K): string {
  const value = config[name]
  if (value === undefined)
    throw new ConfigError(`${name} is not set, and this command needs it. ${name}: ${VARIABLES[name].description}`)
  return value
}
