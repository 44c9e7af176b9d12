import { describe, expect, test } from 'vitest'
import { bootstrapKeyFinding, passwordFinding, secretKeyFinding } from './key-findings.ts'
import { proxyFinding, upstreamFinding } from './provider-findings.ts'
import {
  ledgerFinding,
  migrationsFinding,
  networksFinding,
  startPausedFinding,
  trustedProxiesFinding,
} from './setting-findings.ts'

describe('the operator password', () => {
  test('none, or a long one, is ok; a short one is a warning that does not quote it', () => {
    expect(passwordFinding(undefined).level).toBe('ok')
    expect(passwordFinding('8letters').level).toBe('ok')
    const short = passwordFinding('7lettrs')
    expect(short).toMatchObject({
      check: 'operator_password',
      level: 'warning',
      fix: expect.stringContaining('longer'),
    })
    expect(JSON.stringify(short)).not.toContain('7lettrs')
  })
})

test('a bootstrap key of 23 characters is a warning that does not quote it, one of 24 is none', () => {
  expect(bootstrapKeyFinding(undefined).level).toBe('ok')
  expect(bootstrapKeyFinding('k'.repeat(24)).level).toBe('ok')
  const short = bootstrapKeyFinding('k'.repeat(23))
  expect(short).toMatchObject({ check: 'bootstrap_api_key', level: 'warning' })
  expect(JSON.stringify(short)).not.toContain('kkk')
})

test.each([['0.0.0.0/0'], ['::/0']])('%s as trusted proxies, which is everybody, is a warning', (network) => {
  expect(trustedProxiesFinding(['10.0.0.0/8', '127.0.0.1/32']).level).toBe('ok')
  const detail = expect.stringContaining(network)
  expect(trustedProxiesFinding(['10.0.0.0/8', network])).toMatchObject({ level: 'warning', detail })
})

test('START_PAUSED is shown as a warning while it is set', () => {
  expect(startPausedFinding(false).level).toBe('ok')
  expect(startPausedFinding(true)).toMatchObject({ level: 'warning', detail: expect.stringContaining('START_PAUSED') })
})

describe('the networks of webhooks', () => {
  test('none, or ordinary ones, are ok', () => {
    expect(networksFinding([], []).level).toBe('ok')
    expect(networksFinding(['10.0.0.0/8', 'fd00:1::/32'], []).level).toBe('ok')
  })

  test.each([['0.0.0.0/0'], ['::/0'], ['::/00']])('%s, which contains all addresses, is a warning', (network) => {
    const finding = networksFinding(['10.0.0.0/8', network], ['169.254.169.254'])
    expect(finding).toMatchObject({ check: 'webhook_networks', level: 'warning', fix: expect.any(String) })
    expect(finding.detail).toContain(network)
    expect(finding.detail).not.toContain('10.0.0.0/8')
  })

  test('one that holds a metadata service is a warning that names its address', () => {
    const finding = networksFinding(['169.254.0.0/16'], ['169.254.169.254'])
    expect(finding).toMatchObject({ level: 'warning', detail: expect.stringContaining('169.254.169.254') })
  })
})

describe('the secret key', () => {
  test('that decrypts all secrets, or has no secret to decrypt, is ok', () => {
    expect(secretKeyFinding({ stored: 0, opened: 0, present: 0 }).level).toBe('ok')
    expect(secretKeyFinding({ stored: 3, opened: 3, present: 3 })).toMatchObject({
      level: 'ok',
      detail: 'it decrypts all stored secrets',
    })
    const changing = secretKeyFinding({ stored: 3, opened: 3, present: 1 })
    expect(changing).toMatchObject({ level: 'ok', detail: expect.stringMatching(/2 of 3 .* reseal/) })
  })

  test('that decrypts no secret is wrong: another key encrypted the secrets', () => {
    expect(secretKeyFinding({ stored: 3, opened: 0, present: 0 })).toMatchObject({
      check: 'secret_key',
      level: 'wrong',
      fix: expect.stringContaining('the key that encrypted them'),
    })
  })

  test('that decrypts some secrets is a warning: no other key would do better', () => {
    expect(secretKeyFinding({ stored: 3, opened: 2, present: 2 })).toMatchObject({
      level: 'warning',
      detail: expect.stringContaining('2 of 3'),
    })
  })

  test('that is missing is wrong', () => {
    expect(secretKeyFinding('no key')).toMatchObject({ level: 'wrong', fix: expect.stringContaining('openssl') })
  })
})

describe('migrations', () => {
  test('none pending is ok', () => {
    expect(migrationsFinding([], true).level).toBe('ok')
  })

  test.each([
    [['20261123000000_init'], true, 'lacks 20261123000000_init'],
    [[], false, "lacks the queues' tables"],
    [['1_a', '2_b'], false, "lacks 1_a, 2_b, the queues' tables"],
  ])('%j pending, queues migrated: %j, is wrong, and the fix is the command', (pending, queuesMigrated, detail) => {
    expect(migrationsFinding(pending, queuesMigrated)).toEqual({
      check: 'migrations',
      level: 'wrong',
      detail: expect.stringContaining(detail),
      fix: expect.stringContaining('`npm run migrate`'),
    })
  })
})

describe('the upstream', () => {
  test('without a key is a warning', () => {
    expect(upstreamFinding('no key')).toMatchObject({ check: 'upstream', level: 'warning' })
  })

  test('that is silent is down', () => {
    expect(upstreamFinding({ kind: 'silent', code: 'upstream_timeout', message: 'words' })).toMatchObject({
      level: 'down',
      detail: 'words',
      fix: expect.stringContaining('UPSTREAM_BASE_URL'),
    })
  })

  test('that refuses is a warning about the key', () => {
    expect(upstreamFinding({ kind: 'refused', code: 'upstream_http_401', message: 'no' })).toMatchObject({
      level: 'warning',
      fix: expect.stringContaining('UPSTREAM_API_KEY'),
    })
  })

  test.each([
    ['tells_of_anything', null],
    ['answered', 'upstream_http_404'],
    ['unclear', 'upstream_http_500'],
  ] as const)('that answers is ok, also when the answer is %s', (kind, code) => {
    expect(upstreamFinding({ kind, code, message: '' }).level).toBe('ok')
  })
})

describe('the proxy in front of the provider', () => {
  const through = { name: 'http://proxy.example:3128', setting: 'HTTPS_PROXY' }

  test('is named, or that there is none', () => {
    const { level, detail } = proxyFinding({ ...through, provider: 'api.example.com' })
    expect(level).toBe('ok')
    expect(detail).toContain('through http://proxy.example:3128 (HTTPS_PROXY)')
    const none = (setting: string | null) => proxyFinding({ name: null, setting, provider: 'localhost' })
    expect(none('NO_PROXY')).toMatchObject({ level: 'ok', detail: 'NO_PROXY names the provider: no proxy is used' })
    expect(none(null)).toMatchObject({ level: 'ok', detail: 'no proxy is set for the provider' })
  })

  test.for(['localhost', '127.0.0.1', '[::1]'])('is a warning where the provider is at %s', (provider) => {
    const { level, fix } = proxyFinding({ ...through, provider })
    expect([level, fix]).toEqual(['warning', expect.stringContaining(`NO_PROXY to ${provider}`)])
  })
})

test('a database that seems to be an older copy is a warning with what waits in it', () => {
  expect(ledgerFinding(null, 7).level).toBe('ok')
  expect(ledgerFinding('it is of last week', 7)).toMatchObject({
    check: 'ledger',
    level: 'warning',
    detail: expect.stringMatching(/^it is of last week; 7 generations wait/),
    fix: expect.stringContaining('docs/restoring.md'),
  })
})
