// Generated from the table of routes: each route for operators × each role answers as the row's permission says, and a
// member sees nothing of another project. A new route is tested without a line here.

import { ROUTES } from '@reelqueue/contract/routes'
import { permissionOf, type Route } from '@reelqueue/contract/routes/route'
import { newId } from '@reelqueue/contract/terms/ids'
import { may, ROLES, type Role } from '@reelqueue/contract/terms/roles'
import { listSessions } from '@reelqueue/shared/store/operator/sessions'
import { ensureProject, listApiKeys } from '@reelqueue/shared/store/projects'
import { beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { clientOfNewProject, startApi } from './support/api.ts'
import { sessionOf } from './support/console.ts'

const { app } = await startApi({ VIEWER_PASSWORD: 'viewer-password' })

const rows = Object.entries(ROUTES).filter(([, { caller }]) => caller === 'operator') as [string, Route][]

/** Ids and texts of one project, by the segment of a path before an id, and by the name of a query parameter. */
type Marks = Readonly<Record<string, string>>
let own: Marks
let other: Marks

beforeAll(async () => {
  own = await seedProject('own')
  other = await seedProject('other')
})

async function seedProject(name: string): Promise<Marks> {
  const client = await clientOfNewProject(app, name)
  const prompt = `a film of ${name} that only this project may read`
  const made = async (path: string, body?: object) => {
    const { id } = JSON.parse((await client.post(path, body)).text) as { id: string }
    return id
  }
  const generation = await made('/v1/generations', { model: 'openAiSora2Plus', prompt, custom_id: `${name}-1` })
  const batch = await made('/v1/batches', { items: [{ model: 'openAiSora2Plus', prompt }] })
  const endpoint = await made('/v1/webhook_endpoints', { url: `http://127.0.0.1:9/${name}` })
  const delivery = await made(`/v1/webhook_endpoints/${endpoint}/test`)
  const { id: project } = await ensureProject(app.database, name, () => '')
  await sessionOf(app.database, 'member', project)
  const member = { operatorId: null, name: 'a member', role: 'member', projectId: project } as const
  const [session] = await listSessions(app.database, member, 1)
  const key = (await listApiKeys(app.database)).find((one) => one.projectId === project)?.id ?? ''
  return {
    generations: generation,
    batches: batch,
    webhook_endpoints: endpoint,
    endpoints: endpoint,
    webhook_deliveries: delivery,
    deliveries: delivery,
    projects: project,
    keys: key,
    sessions: session?.id ?? '',
    operators: newId('operator'),
    operations: newId('operation'),
    processes: newId('process'),
    upstreams: 'globalai',
    id: generation,
    ids: generation,
    generation_id: generation,
    batch_id: batch,
    endpoint_id: endpoint,
    delivery_id: delivery,
    project_id: project,
    subject: generation,
    q: generation,
    custom_id: `${name}-1`,
    prompt,
    created_after: '2026-01-01T00:00:00Z',
  }
}

/** The address of a row with the ids of a project. */
function addressOf({ path }: Route, marks: Marks): string {
  return path.replace(/(\w+)\/\{(\w+)\}/g, (_, noun: string, name: string) => {
    const id = marks[noun] ?? marks[name]
    if (id === undefined) throw new Error(`this test has no id for ${path}: add one to seedProject`)
    return `${noun}/${id}`
  })
}

interface Answer {
  readonly status: number
  readonly text: string
  readonly code: string | undefined
  readonly challenge: string | null
}

/** Sends an empty change; a stream of events is not read to its end. */
async function ask(row: Route, address: string, headers: Readonly<Record<string, string>>): Promise<Answer> {
  const isChange = row.method === 'POST' || row.method === 'PATCH'
  const leave = new AbortController()
  const reply = await fetch(app.url + address, {
    method: row.method,
    headers: { ...headers, ...(isChange && { 'content-type': 'application/json' }) },
    ...(isChange && { body: '{}' }),
    redirect: 'manual',
    signal: leave.signal,
  })
  const isStream = reply.headers.get('content-type')?.startsWith('text/event-stream') ?? false
  const text = isStream ? '' : await reply.text()
  if (isStream) leave.abort()
  const isProblem = reply.headers.get('content-type')?.startsWith('application/problem+json') ?? false
  const code = isProblem ? (JSON.parse(text) as { code: string }).code : undefined
  return { status: reply.status, text, code, challenge: reply.headers.get('www-authenticate') }
}

/** A session of its own for each request: some routes end the session. */
const headersOf = (role: Role, marks: Marks) =>
  sessionOf(app.database, role, role === 'member' ? (marks.project_id ?? '') : null)

describe.each(rows)('%s', (_id, row) => {
  it.each(ROLES)('answers a %s as its permission says', async (role) => {
    const { status, code, text } = await ask(row, addressOf(row, own), await headersOf(role, own))
    if (may(role, permissionOf(row))) {
      expect([401, 403], text).not.toContain(status)
      expect(status, text).toBeLessThan(500)
    } else expect([status, code]).toEqual([403, row.method === 'GET' ? 'not_allowed' : 'read_only'])
  })

  it('answers no request without a login, and the console makes no browser ask for a password', async () => {
    const { status, code, challenge } = await ask(row, addressOf(row, own), {})
    expect([status, code]).toEqual([401, 'operator_login_required'])
    expect(challenge !== null).toBe(!row.path.startsWith('/admin/v1'))
  })
})

/** Of these, `seedProject` makes one that a member may read. */
const READABLE = [
  'generations',
  'batches',
  'webhook_endpoints',
  'endpoints',
  'webhook_deliveries',
  'deliveries',
  'projects',
]

const forMembers = rows.filter(([, row]) => may('member', permissionOf(row)))

/** What tells something of a project: no reply to a member of another project has it. */
const secretsOf = ({ subject: _, upstreams: __, created_after: ___, ...marks }: Marks) => [
  ...new Set(Object.values(marks)),
]

const ofOneObject = forMembers.filter(
  ([, row]) => row.method === 'GET' && READABLE.some((noun) => row.path.includes(`/${noun}/{`)),
)
it.each(ofOneObject)('to a member, %s shows what belongs to its project', async (_id, row) => {
  const { status, text } = await ask(row, addressOf(row, own), await headersOf('member', own))
  expect(status, text).toBe(200)
})

describe.each(forMembers)('to a member, %s', (_id, row) => {
  it("shows nothing of another project, also when asked with that project's ids", async () => {
    const names = row.query instanceof z.ZodObject ? Object.keys(row.query.shape) : []
    const asked = names.filter((name) => other[name] !== undefined)
    const queries = ['', ...asked.map((name) => `?${name}=${encodeURIComponent(other[name] ?? '')}`)]
    for (const query of queries) {
      for (const ids of row.params === undefined ? [own] : [own, other]) {
        const address = addressOf(row, ids) + query
        const { status, text } = await ask(row, address, await headersOf('member', own))
        expect(status, `${address}: ${text}`).toBeLessThan(500)
        if (ids === other) expect(status, `${address}: ${text}`).toBe(404)
        for (const secret of secretsOf(other)) expect(text, address).not.toContain(secret)
      }
    }
  })
})
