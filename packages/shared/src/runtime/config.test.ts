import { describe, expect, it } from 'vitest'
import { ConfigError, loadConfig, required, VARIABLES, type VariableName } from './config.ts'

const WORD = 'wr0ng-s3cret'

/** Wrong values of each variable; variables of free text have no wrong value. */
const WRONG: Readonly<Record<VariableName, readonly string[]>> = {
  DATABASE_URL: [WORD, `mysql://${WORD}@localhost/db`],
  REDIS_URL: [WORD, `http://${WORD}`],
  UPSTREAM_BASE_URL: [WORD, `ftp://${WORD}`],
  UPSTREAM_API_KEY: [],
  HTTPS_PROXY: [
    `socks5://${WORD}:1080`,
    `http://user:${WORD}@`,
    `http://user:${WORD}%zz@proxy:3128`,
    `http://proxy:3128/${WORD}`,
    `http://proxy:${WORD}`,
  ],
  HTTP_PROXY: [`ftp://${WORD}`, `${WORD}:port`],
  NO_PROXY: [],
  HOST: [],
  PORT: [WORD, '-1', '65536', '1.5'],
  PUBLIC_URL: [
    WORD,
    `ftp://${WORD}`,
    `https://user:${WORD}@example.com`,
    `https://example.com/?${WORD}`,
    `https://example.com/#${WORD}`,
    'https://example.com/v1',
    'https://example.com/admin/queues',
  ],
  TRUSTED_PROXIES: [WORD, 'true', '10/8', '10.0.0.0/33'],
  BOOTSTRAP_API_KEY: ['s3cret', `${WORD} ${WORD}`],
  BOOTSTRAP_WEBHOOK_SECRET: [WORD, `whsec_${WORD}`],
  OPERATOR_PASSWORD: [],
  VIEWER_PASSWORD: [],
  IMAGE_ALLOW_PRIVATE_HOSTS: ['yes', '1'],
  WEBHOOK_ALLOW_HTTP: ['yes', '1'],
  START_PAUSED: ['yes', '1'],
  DATABASE_CONNECTIONS_MAX: ['1', 'many'],
  QUEUE_CONNECTIONS_MAX: ['7', '0'],
  WEBHOOK_ALLOWED_NETWORKS: [WORD, `10.0.0.0/8,${WORD}`, '10.0.0.0/33', '10/8'],
  UPSTREAM_MAX_IN_FLIGHT: [WORD, '0', '100001'],
  UPSTREAM_MAX_IN_FLIGHT_PER_MODEL: [WORD, `${WORD}=1`, 'openAiSora2Pro=0', 'openAiSora2Pro=1=2'],
  UPSTREAM_REQUESTS_PER_MINUTE: [WORD, '0', '1000001'],
  QUEUED_MAX_PER_PROJECT: [WORD, '0', '10000001'],
  REQUESTS_PER_MINUTE_PER_KEY: [WORD, '0', '1000001'],
  RETENTION_DAYS: [WORD, '29', '36501'],
  POLL_INTERVAL_MIN_MS: [WORD, '9', '86400001'],
  POLL_INTERVAL_MAX_MS: [WORD, '9', '86400001'],
  UPSTREAM_TIMEOUT_MS: [WORD, '99', '600001'],
  GENERATION_DEADLINE_MS: [WORD, '999', '72000001'],
  RECONCILE_INTERVAL_MS: [WORD, '99', '600001'],
  LOG_LEVEL: [WORD],
  SECRET_KEY: [WORD, Buffer.alloc(31, WORD).toString('base64'), Buffer.alloc(33, WORD).toString('base64')],
  SECRET_KEY_PREVIOUS: [WORD, Buffer.alloc(31, WORD).toString('base64')],
  DATA_DIR: [],
  SIMULATOR_PORT: [WORD, '65536'],
}
const cases = Object.entries(WRONG).flatMap(([name, values]) => values.map((value) => ({ name, value })))

function messageOf(env: Readonly<Record<string, string>>): string {
  try {
    loadConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return ''
}

describe('loadConfig', () => {
  it.each(cases)('names $name when it is wrong ($value), and never its value', ({ name, value }) => {
    const message = messageOf({ [name]: value })
    expect(message).toContain(`  ${name}: `)
    // Two intervals out of order are a second mistake, and the default of one interval follows the other interval.
    const named = message.match(/^ {2}\S+(?=:)/gm)?.map((line) => line.trim()) ?? []
    expect([name, 'POLL_INTERVAL_MIN_MS', 'POLL_INTERVAL_MAX_MS']).toEqual(expect.arrayContaining(named))
    if (value.length >= 6 && !/^\d+$/.test(value)) expect(message).not.toContain(value)
    expect(message).not.toContain(WORD)
    expect(message).not.toContain('s3cret')
  })

  it('reads the slots of single models', () => {
    const { UPSTREAM_MAX_IN_FLIGHT_PER_MODEL: slots } = loadConfig({
      UPSTREAM_MAX_IN_FLIGHT_PER_MODEL: 'openAiSora2Pro=20, openAiSora2Plus=60',
    })
    expect(slots).toEqual({ openAiSora2Pro: 20, openAiSora2Plus: 60 })
    expect(loadConfig({}).UPSTREAM_MAX_IN_FLIGHT_PER_MODEL).toEqual({})
  })

  it('names every wrong variable at once', () => {
    const message = messageOf({ PORT: WORD, SECRET_KEY: WORD, LOG_LEVEL: WORD })
    for (const name of ['PORT', 'SECRET_KEY', 'LOG_LEVEL']) expect(message).toContain(`  ${name}: `)
  })

  it('names the interval that is above the other', () => {
    expect(messageOf({ POLL_INTERVAL_MIN_MS: '70000', POLL_INTERVAL_MAX_MS: '60000' })).toContain(
      '  POLL_INTERVAL_MIN_MS: must not be above POLL_INTERVAL_MAX_MS',
    )
  })

  it('allows webhooks over http unless it is production, or said', () => {
    expect(loadConfig({}).WEBHOOK_ALLOW_HTTP).toBe(true)
    expect(loadConfig({ NODE_ENV: 'production' }).WEBHOOK_ALLOW_HTTP).toBe(false)
    expect(loadConfig({ NODE_ENV: 'production', WEBHOOK_ALLOW_HTTP: 'true' }).WEBHOOK_ALLOW_HTTP).toBe(true)
    expect(loadConfig({ WEBHOOK_ALLOW_HTTP: 'false' }).WEBHOOK_ALLOW_HTTP).toBe(false)
  })

  it('needs nothing to be set, and reads an empty variable as absent', () => {
    const empty = Object.fromEntries(Object.keys(VARIABLES).map((name) => [name, '']))
    expect(loadConfig(empty)).toEqual(loadConfig({}))
    expect(loadConfig({})).toMatchObject({ HOST: '127.0.0.1', PORT: 3000, UPSTREAM_TIMEOUT_MS: 60_000 })
  })

  it('reads numbers and lists', () => {
    expect(loadConfig({ PORT: '0', WEBHOOK_ALLOWED_NETWORKS: ' 10.0.0.0/8, fd00::/8 ,' })).toMatchObject({
      PORT: 0,
      WEBHOOK_ALLOWED_NETWORKS: ['10.0.0.0/8', 'fd00::/8'],
    })
  })

  it('reads the public address without a trailing slash', () => {
    expect(loadConfig({ PUBLIC_URL: 'https://Example.com/' }).PUBLIC_URL).toBe('https://example.com')
    expect(loadConfig({ PUBLIC_URL: 'https://example.com/a/reelqueue//' }).PUBLIC_URL).toBe(
      'https://example.com/a/reelqueue',
    )
  })

  it('reads a single address as the network of this address', () => {
    expect(loadConfig({ TRUSTED_PROXIES: '127.0.0.1, ::1' }).TRUSTED_PROXIES).toEqual(['127.0.0.1/32', '::1/128'])
  })

  it('reads a proxy as other programs do: in lower case first, and without a scheme', () => {
    expect(loadConfig({ https_proxy: 'http://lower:1', HTTPS_PROXY: 'http://upper:1' }).HTTPS_PROXY).toBe(
      'http://lower:1',
    )
    expect(loadConfig({ http_proxy: '', HTTP_PROXY: 'proxy.example:3128', no_proxy: 'a,b' })).toMatchObject({
      HTTP_PROXY: 'http://proxy.example:3128',
      NO_PROXY: 'a,b',
    })
    expect(loadConfig({ port: '1' }).PORT).toBe(3000)
  })

  it('describes every variable, for its documentation', () => {
    for (const [name, schema] of Object.entries(VARIABLES)) expect(schema.description, name).toMatch(/\.$/)
  })
})

describe('required', () => {
  it('names what a command cannot do without', () => {
    expect(() => required(loadConfig({}), 'DATABASE_URL')).toThrow(/^DATABASE_URL is not set/)
    const url = 'postgresql://u:p@localhost/db'
    expect(required(loadConfig({ DATABASE_URL: url }), 'DATABASE_URL')).toBe(url)
  })
})
