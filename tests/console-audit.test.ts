// The audit: a row for each change by an operator, in the transaction of the change.

import { auditJson } from '@reelqueue/contract/wire/operator/audit'
import { type Actor, audited } from '@reelqueue/shared/store/operator/audit'
import { ensureProject } from '@reelqueue/shared/store/projects'
import { beforeAll, expect, it } from 'vitest'
import { send, startApi } from './support/api.ts'
import { logIn, sessionOf } from './support/console.ts'

const PASSWORD = 'operator-password'
const { app } = await startApi({ OPERATOR_PASSWORD: PASSWORD })
const ACTOR: Actor = { name: 'mona', via: 'command', address: null, requestId: null }
let operator: Readonly<Record<string, string>>
let projectId: string

beforeAll(async () => {
  operator = await sessionOf(app.database, 'operator')
  projectId = (await ensureProject(app.database, 'audited', () => 'sealed')).id
})

async function list(query = '', headers = operator) {
  const reply = await send('GET', `${app.url}/admin/v1/audit?${query}`, undefined, headers)
  expect(reply.status, reply.text).toBe(200)
  const page = JSON.parse(reply.text) as { data: unknown[]; next_cursor: string | null }
  return { rows: page.data.map((row) => auditJson.parse(row)), next: page.next_cursor }
}

const rename = (name: string, fails = false) =>
  audited(
    app.database,
    ACTOR,
    async ({ prisma }) => {
      // A function of the store may open a transaction: here it joins the open one.
      await prisma.$transaction((tx) => tx.project.update({ where: { id: projectId }, data: { name } }))
      if (fails) throw new Error('the change fails')
    },
    () => ({ action: 'rename', subject: projectId, projectId, changes: { name }, reason: 'a test' }),
  )
const nameNow = async () => (await app.database.prisma.project.findUniqueOrThrow({ where: { id: projectId } })).name

it('a change and its row are there together, or neither is', async () => {
  await rename('renamed')
  await expect(rename('never', true)).rejects.toThrow('the change fails')
  expect(await nameNow()).toBe('renamed')
  const { rows } = await list(`subject=${projectId}`)
  expect(rows).toMatchObject([
    { actor: 'mona', via: 'command', action: 'rename', changes: { name: 'renamed' }, reason: 'a test' },
  ])
})

it('a login is listed with its address, page by page', async () => {
  await logIn(app.url, 'operator', PASSWORD)
  await logIn(app.url, 'operator', PASSWORD)
  const first = await list('limit=1&actor=operator')
  expect(first.rows).toMatchObject([{ action: 'logIn', actor: 'operator' }])
  expect(first.rows[0]?.address).not.toBeNull()
  const second = await list(`limit=1&actor=operator&cursor=${first.next}`)
  expect(second.rows[0]?.id).not.toBe(first.rows[0]?.id)
  expect((await send('GET', `${app.url}/admin/v1/audit?cursor=me`, undefined, operator)).status).toBe(422)
})

it('a member sees the entries of its project only', async () => {
  await rename('renamed again')
  const { id: elsewhere } = await ensureProject(app.database, 'elsewhere', () => 'sealed')
  const own = await list('', await sessionOf(app.database, 'member', projectId))
  expect(new Set(own.rows.map((row) => row.project_id))).toEqual(new Set([projectId]))
  const other = await list(`project_id=${projectId}`, await sessionOf(app.database, 'member', elsewhere))
  expect(other.rows).toEqual([])
})
