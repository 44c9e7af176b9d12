import { describe, expect, test } from 'vitest'
import { ConfigError, loadConfig } from './config.ts'

const load = (query: string, host = 'db.example') =>
  loadConfig({ DATABASE_URL: `postgresql://me:hush@${host}/films${query}` })

describe('parameters of DATABASE_URL', () => {
  test.each([
    '',
    '?schema=public',
    '?sslmode=require',
    '?sslmode=verify-full&sslrootcert=/ca.pem',
    '?host=/run/postgresql',
  ])('%s is taken', (query) => {
    expect(load(query).DATABASE_URL).toContain(query)
  })

  test.each([
    ['?schema=reel', 'schema', 'a database of its own'],
    ['?options=-c%20timezone%3DAsia/Tokyo', 'options', 'leave it out'],
    ['?sslmode=require&channel_binding=require', 'channel_binding', 'sslmode=verify-full'],
    ['?sslpassword=hush', 'sslpassword', 'without a password'],
    ['?pgbouncer=true', 'pgbouncer', 'session mode'],
    ['?connection_limit=1', 'connection_limit', 'leave it out'],
    ['?sslaccept=strict', 'sslaccept', 'sslmode=verify-full'],
    ['?target_session_attrs=read-write', 'target_session_attrs', 'primary'],
    ['?statement_timeout=5', 'statement_timeout', 'Reelqueue knows sslmode'],
    ['?constructor=1', 'constructor', 'Reelqueue knows sslmode'],
    ['?sslmode=sometimes', 'sslmode', 'verify-full'],
  ])('%s is refused by name, with the fix and without the password', (query, name, fix) => {
    const refuse = () => load(query)
    expect(refuse).toThrow(ConfigError)
    expect(refuse).toThrow(new RegExp(`DATABASE_URL: .*${name}.*${fix}`))
    expect(refuse).not.toThrow(/hush/)
  })

  test('several hosts are refused with the fix', () => {
    expect(() => load('', 'a,b')).toThrow(/DATABASE_URL: must name one host/)
  })
})
