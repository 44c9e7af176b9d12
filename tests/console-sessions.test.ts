// Sessions of the console: what begins and ends a session, and what an attacker tries.

import type { Database } from '@reelqueue/shared/store/database'
import { createOperator } from '@reelqueue/shared/store/operator/operators'
import { hashPassword } from '@reelqueue/shared/store/operator/password'
import { createSession } from '@reelqueue/shared/store/operator/sessions'
import { hashOf } from '@reelqueue/shared/store/projects'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeOperatorPassword } from '../bin/bootstrap.ts'
import { problemOf, type Reply, send } from './support/api.ts'
import { logIn, sessionCookieOf, sessionOf } from './support/console.ts'
import { createDatabase, runSql, type TestDatabase } from './support/database.ts'
import { startReverseProxy } from './support/reverse-proxy.ts'
import { startTestApp, type TestApp } from './support/test-app.ts'

const OPERATOR = 'operator-password'
const VIEWER = 'viewer-password'
const MONA = "the password that is only mona's"

let database: TestDatabase
let apps: TestApp[]
let base: string
let passwordHash: string

const from = (address: string) => ({ 'x-forwarded-for': address })
type Headers = Readonly<Record<string, string>>

beforeAll(async () => {
  database = await createDatabase()
  const env = { OPERATOR_PASSWORD: OPERATOR, VIEWER_PASSWORD: VIEWER, TRUSTED_PROXIES: '127.0.0.1' }
  apps = await Promise.all([1, 2].map(() => startTestApp({ databaseUrl: database.url, api: true, env })))
  base = apps[0]?.url ?? ''
  passwordHash = await hashPassword(MONA)
})

afterAll(async () => {
  await Promise.all(apps?.map((app) => app.close()))
  await database?.drop()
})

const store = () => apps[0]?.database as Database
const me = (headers: Headers, url = base) => send('GET', `${url}/admin/v1/session`, undefined, headers)
const json = <T>(reply: Reply) => JSON.parse(reply.text) as T
const codeOf = (reply: Reply) => [reply.status, problemOf(reply).code]

async function operator(name: string, role: 'operator' | 'viewer' = 'operator'): Promise<string> {
  const made = await createOperator(store(), { name, role, projectId: null, passwordHash })
  if (made.kind !== 'created') throw new Error(made.kind)
  return made.operator.id
}

interface Me {
  readonly session: { readonly id: string | null; readonly name: string; readonly role: string }
}

describe('a login', () => {
  it.each([
    ['operator', OPERATOR],
    ['viewer', VIEWER],
  ])('with the password of the %s begins a session under any name, in every process', async (role, password) => {
    const { reply, headers } = await logIn(base, 'somebody', password, { 'user-agent': 'a browser' })
    expect([reply.status, reply.text]).toEqual([200, expect.any(String)])
    expect(sessionCookieOf(reply)).toMatch(
      /^reelqueue_session=[\w-]{43}; Max-Age=604800; Path=\/; HttpOnly; SameSite=Lax$/,
    )
    for (const { url } of apps) {
      const shown = await me(headers, url)
      expect(json<Me>(shown).session).toMatchObject({
        name: 'somebody',
        role,
        user_agent: 'a browser',
        is_current: true,
      })
    }
    const rows = await runSql(database.url, 'SELECT * FROM sessions')
    expect(JSON.stringify(rows)).not.toContain(headers.cookie?.split('=')[1])
  })

  it('with a password of its own needs the name, whatever its case; the built-in passwords do not open that name', async () => {
    await operator('Mona')
    expect(json<Me>(await me((await logIn(base, 'mona', MONA)).headers)).session).toMatchObject({ name: 'Mona' })
    for (const [name, password] of [
      ['Mona', OPERATOR],
      ['mona', VIEWER],
      ['lisa', MONA],
    ] as const) {
      expect(codeOf((await logIn(base, name, password)).reply)).toEqual([401, 'wrong_password'])
    }
  })

  it('is refused in the same words for an unknown name, a wrong password and a disabled operator', async () => {
    const id = await operator('was here')
    const change = await send('PATCH', `${base}/admin/v1/operators/${id}`, { disabled: true }, apps[0]?.login)
    expect(change.status, change.text).toBe(200)
    const told = async (name: string, password: string) => {
      const { reply } = await logIn(base, name, password, from('198.51.100.1'))
      const { request_id: _, ...problem } = problemOf(reply)
      expect(reply.headers['www-authenticate']).toBeUndefined()
      return problem
    }
    const unknown = await told('no operator', MONA)
    expect(await told('Mona', 'a wrong password')).toEqual(unknown)
    expect(await told('was here', MONA)).toEqual(unknown)
  })

  it('is a document of JSON from our own pages: no form of another site logs a browser in', async () => {
    const form = await send('POST', `${base}/admin/v1/session`, `name=x&password=${OPERATOR}`, {
      'content-type': 'application/x-www-form-urlencoded',
    })
    expect(codeOf(form)).toEqual([415, 'unsupported_media_type'])
    for (const origin of ['https://evil.example', 'null']) {
      const { reply } = await logIn(base, 'x', OPERATOR, { origin })
      expect(codeOf(reply)).toEqual([403, 'cross_site'])
      expect(reply.headers['set-cookie']).toBeUndefined()
    }
    expect((await logIn(base, 'x', OPERATOR, { origin: base })).reply.status).toBe(200)
    const { reply } = await logIn(base, '', OPERATOR)
    expect(codeOf(reply)).toEqual([422, 'validation_failed'])
  })
})

describe('a planted cookie', () => {
  it('of an attacker does not become the session of the operator who logs in', async () => {
    const attacker = await sessionOf(store(), 'viewer')
    const { reply, headers } = await logIn(base, 'the victim', OPERATOR, attacker)
    expect(reply.status).toBe(200)
    expect(headers.cookie).not.toBe(attacker.cookie)
    expect((await me(attacker)).status).toBe(401)
    expect(json<Me>(await me(headers)).session.role).toBe('operator')
  })

  it('that names no session is not taken over', async () => {
    const planted = { cookie: `reelqueue_session=${'a'.repeat(43)}` }
    const { headers } = await logIn(base, 'the victim', OPERATOR, planted)
    expect(headers.cookie).not.toBe(planted.cookie)
    expect((await me(planted)).status).toBe(401)
  })

  it('stays when the password is wrong', async () => {
    const session = await sessionOf(store(), 'viewer')
    const { reply } = await logIn(base, 'x', 'wrong', { ...session, ...from('198.51.100.2') })
    expect(codeOf(reply)).toEqual([401, 'wrong_password'])
    expect((await me(session)).status).toBe(200)
  })
})

describe('a cookie', () => {
  it('that was forged opens nothing', async () => {
    const { headers } = await logIn(base, 'x', OPERATOR)
    const token = headers.cookie?.split('=')[1] ?? ''
    const [row] = await runSql<{ hash: string }>(
      database.url,
      'SELECT token_hash AS hash FROM sessions ORDER BY id DESC LIMIT 1',
    )
    for (const value of [
      '',
      token.slice(1),
      `${token}x`,
      `${token.slice(0, -2)}__`,
      `"${token}"`,
      row?.hash ?? '',
      row?.hash.slice(0, 43) ?? '',
      `${token}%00`,
      "' OR true --",
    ]) {
      const reply = await me({ cookie: `reelqueue_session=${value}` })
      expect([value, ...codeOf(reply)]).toEqual([value, 401, 'operator_login_required'])
      expect(reply.headers['www-authenticate']).toBeUndefined()
    }
    expect((await me({ cookie: `x=1; reelqueue_session=${token}; y=2` })).status).toBe(200)
    expect((await me({ cookie: `not_reelqueue_session=${token}` })).status).toBe(401)
  })

  it('changes nothing for a page of another site', async () => {
    const session = await sessionOf(store(), 'operator')
    for (const browser of [
      { origin: 'https://evil.example' },
      { 'sec-fetch-site': 'cross-site', origin: base },
      { 'sec-fetch-site': 'same-site' },
    ] as Headers[]) {
      for (const [method, path] of [
        ['POST', '/admin/submitting/pause'],
        ['DELETE', '/admin/v1/session'],
        ['POST', '/admin/v1/operators'],
      ] as const) {
        const body = method === 'POST' && path.includes('v1') ? { name: 'evil', role: 'operator' } : undefined
        const reply = await send(method, base + path, body, { ...session, ...browser })
        expect([path, ...codeOf(reply)]).toEqual([path, 403, 'cross_site'])
      }
    }
    expect((await me({ ...session, 'sec-fetch-site': 'cross-site' })).status).toBe(200)
  })

  it('opens what the password opens, and no more than its role', async () => {
    const [operators, viewers] = [await sessionOf(store(), 'operator'), await sessionOf(store(), 'viewer')]
    for (const session of [operators, viewers]) {
      for (const path of ['/metrics', '/admin/queues', '/admin/submitting'])
        expect([path, (await send('GET', base + path, undefined, session)).status]).toEqual([path, 200])
    }
    const pause = (headers: Headers) =>
      send('PUT', `${base}/admin/queues/api/queues/maintain/pause`, undefined, headers)
    expect(codeOf(await pause(viewers))).toEqual([403, 'read_only'])
    expect((await pause(operators)).status).toBe(200)
    await send('PUT', `${base}/admin/queues/api/queues/maintain/resume`, undefined, operators)
  })
})

describe('a session', () => {
  it('ends at the log-out, and its cookie goes', async () => {
    const { headers } = await logIn(base, 'x', OPERATOR)
    const reply = await send('DELETE', `${apps[1]?.url}/admin/v1/session`, undefined, headers)
    expect([reply.status, json(reply)]).toEqual([200, { ended: 1 }])
    expect(sessionCookieOf(reply)).toBe('reelqueue_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax')
    expect((await me(headers)).status).toBe(401)
  })

  it('ends 12 hours after the last request, and 7 days after the login', async () => {
    const session = await sessionOf(store(), 'operator')
    const hash = hashOf(session.cookie?.split('=')[1] ?? '')
    const move = (column: string, by: string) =>
      runSql(database.url, `UPDATE sessions SET ${column} = ${column} - interval '${by}' WHERE token_hash = '${hash}'`)
    const left = async () => {
      const [row] = await runSql<{ left: number; seen: number }>(
        database.url,
        `SELECT extract(epoch FROM expires_at - now())::float8 / 3600 AS left, extract(epoch FROM now() - seen_at)::float8 AS seen
         FROM sessions WHERE token_hash = '${hash}'`,
      )
      return row ?? { left: 0, seen: 0 }
    }
    await move('seen_at', '50 s')
    expect((await me(session)).status).toBe(200)
    // Written at most once a minute.
    expect((await left()).seen).toBeGreaterThan(49)
    await move('seen_at', '11 hours')
    await move('expires_at', '11 hours')
    expect((await me(session)).status).toBe(200)
    expect((await left()).left).toBeGreaterThan(11.9)
    expect((await left()).seen).toBeLessThan(49)
    await move('created_at', '167 hours')
    await move('seen_at', '2 min')
    expect((await me(session)).status).toBe(200)
    expect((await left()).left).toBeLessThan(1.1)
    await move('expires_at', '2 hours')
    expect((await me(session)).status).toBe(401)
  })

  it('ends in all processes when its operator is disabled, gets another role or another password', async () => {
    const changes = [{ disabled: true }, { disabled: false, role: 'viewer' }, { password: null }, { role: 'operator' }]
    const id = await operator('short-lived')
    let password = MONA
    for (const change of changes) {
      const { headers, reply } = await logIn(base, 'short-lived', password)
      const wasDisabled = 'disabled' in change && !change.disabled
      expect([change, reply.status]).toEqual([change, wasDisabled ? 401 : 200])
      const done = await send('PATCH', `${base}/admin/v1/operators/${id}`, change, apps[0]?.login)
      expect(done.status, done.text).toBe(200)
      const made = json<{ password: string | null }>(done).password
      expect(made !== null).toBe('password' in change)
      password = made ?? password
      for (const { url } of apps) expect((await me(headers, url)).status).toBe(401)
    }
  })

  it('does not begin when the operator was changed while the password was compared', async () => {
    const id = await operator('in a race')
    const session = {
      ...{ operatorId: id, name: 'in a race', role: 'operator' as const, projectId: null, passwordHash },
      ...{ tokenHash: hashOf('a token'), passwordProof: null, userAgent: null, address: null },
    }
    expect(await createSession(store(), { ...session, role: 'viewer' })).toBeNull()
    expect(await createSession(store(), { ...session, passwordHash: 'of another password' })).toBeNull()
    await send('PATCH', `${base}/admin/v1/operators/${id}`, { disabled: true }, apps[0]?.login)
    expect(await createSession(store(), session)).toBeNull()
  })

  it('ends when the password of the settings is another one', async () => {
    const [operators, viewers] = [await logIn(base, 'x', OPERATOR), await logIn(base, 'x', VIEWER)]
    const env = { OPERATOR_PASSWORD: '', VIEWER_PASSWORD: 'another' }
    const changed = await startTestApp({ databaseUrl: database.url, api: true, env })
    try {
      expect((await me(operators.headers, changed.url)).status).toBe(401)
      expect((await me(viewers.headers, changed.url)).status).toBe(401)
      const first = (await makeOperatorPassword(changed.database, true)) ?? ''
      const { headers } = await logIn(changed.url, 'x', first)
      expect((await me(headers, changed.url)).status).toBe(200)
      await makeOperatorPassword(changed.database, true)
      expect((await me(headers, changed.url)).status).toBe(401)
    } finally {
      await changed.close()
    }
    expect((await me(operators.headers)).status).toBe(200)
  })

  it('is listed, and ended from another session of the same login; an operator ends any', async () => {
    const logins = [await logIn(base, 'lister', VIEWER), await logIn(base, 'lister', VIEWER)]
    const stranger = await logIn(base, 'another', VIEWER)
    const [first, second] = logins.map(({ headers }) => headers)
    if (!first || !second) throw new Error('no logins')
    const list = async (headers: Headers) => {
      const reply = await send('GET', `${base}/admin/v1/sessions?limit=100`, undefined, headers)
      return json<{ data: { id: string; name: string; is_current: boolean }[] }>(reply).data
    }
    const seen = await list(first)
    expect(seen.map(({ name, is_current }) => [name, is_current])).toEqual([
      ['lister', false],
      ['lister', true],
    ])
    const strange = (await list(stranger.headers))[0]?.id
    const end = (id: string | undefined, headers: Headers) =>
      send('DELETE', `${base}/admin/v1/sessions/${id}`, undefined, headers)
    expect(codeOf(await end(strange, first))).toEqual([404, 'not_found'])
    expect(codeOf(await end('ses_x', first))).toEqual([404, 'not_found'])
    expect(json(await end('others', first))).toEqual({ ended: 1 })
    expect([(await me(first)).status, (await me(second)).status]).toEqual([200, 401])
    const operators = await sessionOf(store(), 'operator')
    expect((await list(operators)).map(({ name }) => name)).toEqual(expect.arrayContaining(['lister', 'another']))
    expect(json(await end(strange, operators))).toEqual({ ended: 1 })
    expect((await me(stranger.headers)).status).toBe(401)
  })

  it('leaves no row after its end', async () => {
    await runSql(database.url, "UPDATE sessions SET expires_at = now() - interval '1 s' WHERE name = 'lister'")
    await logIn(base, 'x', OPERATOR)
    expect(await runSql(database.url, "SELECT 1 FROM sessions WHERE name = 'lister'")).toEqual([])
    await runSql(
      database.url,
      `INSERT INTO sessions (id, token_hash, name, role, expires_at)
       SELECT 'ses_0' || n, n, 'many', 'viewer', now() + interval '1 hour' FROM generate_series(1, 120) AS n`,
    )
    const { headers } = await logIn(base, 'many', VIEWER)
    expect(await runSql(database.url, "SELECT 1 FROM sessions WHERE name = 'many'")).toHaveLength(100)
    expect((await me(headers)).status).toBe(200)
  })
})

describe('guessed passwords', () => {
  it('make an address wait in all processes, in the form and with Basic together, and the audit names it once', async () => {
    const guesser = from('203.0.113.1')
    const basic = { authorization: `Basic ${Buffer.from('x:wrong').toString('base64')}` }
    const guess = (n: number) => {
      const url = apps[n % 2]?.url ?? ''
      return n % 3 === 0
        ? send('GET', `${url}/metrics`, undefined, { ...basic, ...guesser })
        : logIn(url, n % 3 === 1 ? 'Mona' : `name ${n}`, `guess ${n}`, guesser).then(({ reply }) => reply)
    }
    const statuses = (await Promise.all(Array.from({ length: 45 }, (_, n) => guess(n)))).map(({ status }) => status)
    for (let n = 0; !statuses.includes(429) || n < 12; n++) statuses.push((await guess(n)).status)
    expect(statuses.filter((status) => status === 401)).toHaveLength(10)
    expect(new Set(statuses)).toEqual(new Set([401, 429]))
    for (const { url } of apps) {
      const { reply } = await logIn(url, 'x', OPERATOR, guesser)
      expect(codeOf(reply)).toEqual([429, 'too_many_guesses'])
      expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0)
      expect((await logIn(url, 'x', OPERATOR, from('203.0.113.2'))).reply.status).toBe(200)
    }
    const rows = await runSql<{ actor: string }>(
      database.url,
      "SELECT actor FROM audit_entries WHERE action = 'logInBlocked' AND address = '203.0.113.1'",
    )
    expect(rows).toHaveLength(1)
    expect(['Mona', 'unknown']).toContain(rows[0]?.actor)
  })

  it('do not lock out an operator whose browser is known', async () => {
    const shared = from('203.0.113.9')
    const { reply } = await logIn(base, 'x', OPERATOR, shared)
    const device = reply.headers['set-cookie']?.find((cookie) => cookie.startsWith('reelqueue_device='))?.split(';')[0]
    await runSql(
      database.url,
      "INSERT INTO login_guesses (key, wrong, blocked_until) VALUES ('address 203.0.113.9', 10, now() + interval '1 min')",
    )
    expect(codeOf((await logIn(base, 'x', OPERATOR, shared)).reply)).toEqual([429, 'too_many_guesses'])
    expect((await logIn(base, 'x', OPERATOR, { ...shared, cookie: device ?? '' })).reply.status).toBe(200)
    const viewer = await logIn(base, 'x', VIEWER, from('203.0.113.10'))
    expect(viewer.reply.headers['set-cookie']).toHaveLength(1)
  })
})

describe('below a path', () => {
  it.each([true, false])('the cookie belongs to the path of PUBLIC_URL (a proxy strips it: %s)', async (strips) => {
    const env = { PUBLIC_URL: 'https://video.example.com/reel' }
    const app = await startTestApp({ databaseUrl: database.url, api: true, env })
    const proxy = await startReverseProxy(app.url, { style: 'careful', path: '/reel', strips })
    try {
      const url = `${proxy.origin}/reel`
      const { reply, headers } = await logIn(url, 'x', OPERATOR, { origin: 'https://video.example.com' })
      expect(sessionCookieOf(reply)).toMatch(/; Max-Age=604800; Path=\/reel; HttpOnly; SameSite=Lax; Secure$/)
      expect((await me(headers, url)).status).toBe(200)
      const out = await send('DELETE', `${url}/admin/v1/session`, undefined, headers)
      expect(sessionCookieOf(out)).toMatch(/^reelqueue_session=; Max-Age=0; Path=\/reel;/)
    } finally {
      await proxy.close()
      await app.close()
    }
  })
})

describe('operators', () => {
  const path = '/admin/v1/operators'

  it('are added with a password that is shown once, or a chosen one; a name is given once', async () => {
    const operators = await sessionOf(store(), 'operator')
    const add = (body: object) => send('POST', base + path, body, operators)
    const made = json<{ id: string; password: string }>(await add({ name: 'nora', role: 'viewer' }))
    expect(made.password).toMatch(/^[\w-]{24}$/)
    expect((await logIn(base, 'nora', made.password)).reply.status).toBe(200)
    const chosen = await add({ name: 'otto', role: 'operator', password: 'a password of otto' })
    expect([chosen.status, json<{ password: null }>(chosen).password]).toEqual([201, null])
    expect(codeOf(await add({ name: 'Nora', role: 'viewer' }))).toEqual([409, 'operator_exists'])
    const listed = await send('GET', `${base}${path}?limit=2`, undefined, operators)
    expect(json<{ data: { name: string }[] }>(listed).data.map(({ name }) => name)).toEqual(['otto', 'nora'])
    expect(listed.text).not.toMatch(/scrypt|password/)
    const [row] = await runSql<{ hash: string }>(
      database.url,
      `SELECT password_hash AS hash FROM operators WHERE id = '${made.id}'`,
    )
    expect(row?.hash).toMatch(/^scrypt\$32768\$8\$3\$[\w-]{22}\$[\w-]{43}$/)
  })

  it.each([
    [{ name: 'operator', role: 'viewer' }, 'name', 'reserved'],
    [{ name: ' x', role: 'viewer' }, 'name', 'visible'],
    [{ name: 'a\u200bb', role: 'viewer' }, 'name', 'visible'],
    [{ name: 'p', role: 'chief' }, 'role', 'one_of'],
    [{ name: 'p', role: 'viewer', password: 'short' }, 'password', 'min_length'],
    [{ name: 'p', role: 'member' }, 'project_id', 'needs_project'],
    [{ name: 'p', role: 'viewer', project_id: 'prj_x' }, 'project_id', 'has_no_project'],
    [{ name: 'p', role: 'member', project_id: 'prj_x' }, 'project_id', 'unknown_project'],
    [{ name: 'p', role: 'viewer', rolle: 1 }, 'rolle', 'unknown_field'],
  ])('are refused as %j', async (body, field, rule) => {
    const reply = await send('POST', base + path, body, apps[0]?.login)
    expect(problemOf(reply)).toMatchObject({ code: 'validation_failed', errors: [{ field, rule }] })
  })

  it('leave a trace of what they do: who, from where, with which login', async () => {
    await operator('Tracy')
    const { headers } = await logIn(base, 'Tracy', MONA, from('192.0.2.7'))
    const made = await send(
      'POST',
      base + path,
      { name: 'traced', role: 'viewer' },
      { ...headers, ...from('192.0.2.8') },
    )
    const { id, password } = json<{ id: string; password: string }>(made)
    await send('PATCH', `${base}${path}/${id}`, { disabled: true, password: null }, headers)
    await send('DELETE', `${base}/admin/v1/session`, undefined, headers)
    const rows = await runSql(
      database.url,
      "SELECT action, via, address, subject, changes, request_id FROM audit_entries WHERE actor = 'Tracy' ORDER BY id",
    )
    expect(rows).toMatchObject([
      { action: 'logIn', via: 'password', address: '192.0.2.7' },
      { action: 'createOperator', via: 'session', address: '192.0.2.8', subject: id, changes: { role: 'viewer' } },
      { action: 'changeOperator', via: 'session', subject: id, changes: { disabled: true, password: 'changed' } },
      { action: 'logOut', via: 'session' },
    ])
    expect(JSON.stringify(rows)).not.toContain(password)
    expect(JSON.stringify(rows)).not.toContain('scrypt')
  })
})
