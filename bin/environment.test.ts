import { expect, test } from 'vitest'

const { clearPostgresVariables, neverProxyThisMachine } = await import(new URL('environment.mjs', import.meta.url).href)

const HERE = 'localhost,127.0.0.1,::1'

test.each([
  [{}, { NO_PROXY: HERE }],
  [{ NO_PROXY: '' }, { NO_PROXY: HERE }],
  [{ NO_PROXY: 'a.example' }, { NO_PROXY: `a.example,${HERE}` }],
  // Programs differ in their preference between the two spellings.
  [{ no_proxy: 'a.example' }, { NO_PROXY: `a.example,${HERE}`, no_proxy: `a.example,${HERE}` }],
  [{ HTTPS_PROXY: 'http://p:1' }, { HTTPS_PROXY: 'http://p:1', NO_PROXY: HERE }],
])('beside %j this machine is reached without a proxy', (env: Record<string, string>, expected) => {
  neverProxyThisMachine(env)
  expect(env).toEqual(expected)
})

test('of the variables of Postgres only what completes a password stays', () => {
  const env = { PGHOST: 'x', PGOPTIONS: 'x', PGSSLMODE: 'x', PGPASSWORD: 'x', PGPASSFILE: 'x', PG: 'x', PATH: 'x' }
  clearPostgresVariables(env)
  expect(Object.keys(env)).toEqual(['PGPASSWORD', 'PGPASSFILE', 'PG', 'PATH'])
})
