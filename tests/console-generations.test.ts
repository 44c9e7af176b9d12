// The console's reads of generations: over all projects for operators, of one project for its members.

import { newId } from '@reelqueue/contract/terms/ids'
import { operatorGenerationJson, operatorGenerationList } from '@reelqueue/contract/wire/operator/generation'
import { LOOKED_MAX } from '@reelqueue/shared/store/operator/generation-list'
import { ensureProject } from '@reelqueue/shared/store/projects'
import { beforeAll, describe, expect, it } from 'vitest'
import { clientOfNewProject, MINIMAL, send, startApi } from './support/api.ts'
import { sessionOf } from './support/console.ts'
import { runSql } from './support/database.ts'
import { endGeneration } from './support/endings.ts'

const { database, app, client } = await startApi({ UPSTREAM_API_KEY: 'key' })
let operator: Readonly<Record<string, string>>

beforeAll(async () => {
  operator = await sessionOf(app.database, 'operator')
})

const get = async (path: string, headers = operator) => await send('GET', `${app.url}${path}`, undefined, headers)
const list = async (query: string, headers = operator) => {
  const reply = await get(`/admin/v1/generations?${query}`, headers)
  expect(reply.status, reply.text).toBe(200)
  return operatorGenerationList.parse(JSON.parse(reply.text))
}
const idsOf = async (query: string, headers = operator) => (await list(query, headers)).data.map((one) => one.id)
const made = async (fields: Record<string, unknown> = {}, by = client): Promise<string> => {
  const reply = await by.post('/v1/generations', { ...MINIMAL, ...fields })
  expect(reply.status, reply.text).toBe(202)
  return JSON.parse(reply.text).id
}

describe('the list', () => {
  it('is filtered by project, status, code, model, batch, custom id, metadata, prompt and time, page by page', async () => {
    const by = await clientOfNewProject(app, 'filters')
    const first = await made({ prompt: 'a 100% fox', custom_id: 'order-1', metadata: { shop: 'north' } }, by)
    const second = await made({ prompt: 'a hound' }, by)
    await endGeneration(app.database, second, 'failed')
    const { project_id } = operatorGenerationJson.parse(JSON.parse((await get(`/admin/v1/generations/${first}`)).text))
    const ofProject = `project_id=${project_id}`
    expect(await idsOf(ofProject)).toEqual([second, first])
    expect(await idsOf(`${ofProject}&status=queued`)).toEqual([first])
    expect(await idsOf(`${ofProject}&status=queued,failed`)).toEqual([second, first])
    const [failed] = (await list(`${ofProject}&status=failed`)).data
    expect(failed?.error).not.toBeNull()
    expect(await idsOf(`${ofProject}&error_code=${failed?.error?.code}`)).toEqual([second])
    expect(await idsOf(`${ofProject}&custom_id=order-1`)).toEqual([first])
    expect(await idsOf('custom_id=order-1')).toEqual([first])
    expect(await idsOf(`${ofProject}&metadata=shop%3Dnorth`)).toEqual([first])
    expect(await idsOf(`${ofProject}&metadata=shop%3Dsouth`)).toEqual([])
    expect(await idsOf(`${ofProject}&prompt=100%25`)).toEqual([first])
    expect(await idsOf(`${ofProject}&prompt=1__`)).toEqual([])
    expect(await idsOf(`${ofProject}&model=${MINIMAL.model}`)).toEqual([second, first])
    expect(await idsOf(`${ofProject}&created_after=2000-01-01T00:00:00Z`)).toEqual([second, first])
    expect(await idsOf(`${ofProject}&created_before=2000-01-01T00:00:00Z`)).toEqual([])
    const page = await list(`${ofProject}&limit=1`)
    expect(page.data.map((one) => one.id)).toEqual([second])
    expect(await idsOf(`${ofProject}&limit=1&cursor=${page.next_cursor}`)).toEqual([first])
    expect(await idsOf(`ids=${first},${second}`)).toEqual([second, first])
  })

  it.each([
    ['status=lost', 'status'],
    ['cursor=me', 'cursor'],
    ['ids=me', 'ids'],
    ['created_after=yesterday', 'created_after'],
    ['metadata=shop', 'metadata'],
    ['unheard=of', 'unheard'],
  ])('names the field of a bad filter: %s', async (query, field) => {
    const reply = await get(`/admin/v1/generations?${query}`)
    expect(reply.status, reply.text).toBe(422)
    expect(JSON.parse(reply.text).errors[0].field).toBe(field)
  })

  it('looks at a bounded number of rows for a rare prompt, and goes on from its cursor', async () => {
    const { id: projectId } = await ensureProject(app.database, 'many', () => 'sealed')
    await runSql(
      database.url,
      `INSERT INTO generations (id, project_id, model, prompt, status, finished_at)
       SELECT new_id('gen'), '${projectId}', 'openAiSora2Plus', CASE n WHEN 1 THEN 'a needle' ELSE 'hay' END, 'cancelled', now()
       FROM generate_series(1, ${LOOKED_MAX + 500}) AS n`,
    )
    const page = await list(`project_id=${projectId}&prompt=needle`)
    const rest = page.next_cursor
      ? await list(`project_id=${projectId}&prompt=needle&cursor=${page.next_cursor}`)
      : null
    expect(page.looked_back_to).not.toBeNull()
    expect([...page.data, ...(rest?.data ?? [])].map((one) => one.prompt)).toEqual(['a needle'])
    expect(rest?.next_cursor).toBeNull()
  })
})

describe('one generation', () => {
  it('says why it is where it is, and its timeline has every record', async () => {
    const id = await made()
    const one = operatorGenerationJson.parse(JSON.parse((await get(`/admin/v1/generations/${id}`)).text))
    // Admission follows the reply.
    expect(['waiting_turn', 'admitted']).toContain(one.why.code)
    expect(one.why.next).toBe('reelqueue')
    expect(one.project_name).toBe('default')
    await endGeneration(app.database, id, 'failed')
    const timeline = JSON.parse((await get(`/admin/v1/generations/${id}/timeline`)).text).data
    const kinds = timeline.map(({ kind }: { kind: string }) => kind)
    expect(kinds).toEqual(expect.arrayContaining(['event', 'submission', 'answer']))
    expect(timeline[0].title).toBe('generation.queued')
    expect((await get(`/admin/v1/generations/${newId('generation')}`)).status).toBe(404)
  })

  it('is found by its id, its custom id, its idempotency key and its task', async () => {
    const reply = await client.post(
      '/v1/generations',
      { ...MINIMAL, custom_id: 'found-me' },
      { 'idempotency-key': 'k-1' },
    )
    const { id } = JSON.parse(reply.text)
    await endGeneration(app.database, id, 'completed')
    const [task] = await runSql<{ id: string }>(
      database.url,
      `UPDATE submissions SET upstream = 'globalai' WHERE generation_id = '${id}' RETURNING upstream_task_id AS id`,
    )
    for (const [text, by] of [
      [id, 'id'],
      ['found-me', 'custom_id'],
      ['k-1', 'idempotency_key'],
      [task?.id ?? '', 'upstream_task_id'],
    ]) {
      const found = JSON.parse((await get(`/admin/v1/find?q=${text}`)).text).data
      expect(found, text).toMatchObject([{ kind: 'generation', id, by }])
    }
    expect(JSON.parse((await get('/admin/v1/find?q=nothing')).text).data).toEqual([])
  })
})

it('a member sees one project, whatever it asks for', async () => {
  const { id: projectId } = await ensureProject(app.database, 'of a member', () => 'sealed')
  const member = await sessionOf(app.database, 'member', projectId)
  const stranger = await made()
  expect(await idsOf('limit=50', member)).toEqual([])
  expect(await idsOf(`ids=${stranger}`, member)).toEqual([])
  for (const path of [`/admin/v1/generations/${stranger}`, `/admin/v1/generations/${stranger}/timeline`])
    expect((await get(path, member)).status).toBe(404)
  expect(JSON.parse((await get(`/admin/v1/find?q=${stranger}`, member)).text).data).toEqual([])
})
