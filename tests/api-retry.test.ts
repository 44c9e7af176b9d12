// Retry and adopt over HTTP, and the project's default for unknown outcomes.
import type { GenerationJson } from '@reelqueue/contract/wire/generation'
import { projectJson } from '@reelqueue/contract/wire/project'
import { recordAccepted } from '@reelqueue/shared/store/lifecycle/acceptance'
import { recordOutcome } from '@reelqueue/shared/store/lifecycle/record-outcome'
import { describe, expect, it } from 'vitest'
import { clientOfNewProject, countRows, generationOf, MINIMAL, problemOf, startApi } from './support/api.ts'
import { endGeneration, openSubmission } from './support/endings.ts'

const { database, app, client } = await startApi()
const UNKNOWN = { kind: 'unknown', code: 'upstream_timeout', message: 'no answer', httpStatus: null } as const

async function accept(fields: Record<string, unknown> = {}): Promise<GenerationJson> {
  return generationOf(await client.post('/v1/generations', { ...MINIMAL, ...fields }))
}

/** A generation with an unknown submission outcome. */
async function unknown(fields: Record<string, unknown> = {}): Promise<string> {
  const { id } = await accept(fields)
  const submissionId = await openSubmission(app.database, id)
  await recordOutcome(app.database, submissionId, UNKNOWN, { firstPollMs: 1_000, renderMaxMs: 1_000 })
  return id
}

describe('a generation whose submission is unknown', () => {
  it('says that it may have been charged, and with which attempt', async () => {
    const generation = generationOf(await client.get(`/v1/generations/${await unknown()}`))
    expect(generation).toMatchObject({ status: 'failed', attempt: 1, may_be_charged: true })
    expect(generation.error?.code).toBe('submission_unknown')
    expect(generation.error?.message).toContain('may have been charged')
  })

  it('can be retried: queued again under its id, as its second attempt, with both facts in its timeline', async () => {
    const id = await unknown({ webhook_url: 'https://hooks.example/retried' })
    const reply = await client.post(`/v1/generations/${id}/retry`)
    expect(reply.status, reply.text).toBe(200)
    expect(generationOf(reply)).toMatchObject({
      id,
      status: 'queued',
      attempt: 2,
      error: null,
      finished_at: null,
      may_be_charged: true,
    })
    const { data } = JSON.parse((await client.get(`/v1/generations/${id}/events`)).text) as {
      data: { type: string; data: { attempt?: number; may_be_charged?: boolean } }[]
    }
    expect(
      data.map(({ type, data: { attempt = 1, may_be_charged = false } }) => [type, attempt, may_be_charged]),
    ).toEqual([
      ['generation.queued', 1, false],
      ['generation.submitting', 1, true],
      ['generation.failed', 1, true],
      ['generation.queued', 2, true],
    ])
  })
})

describe('retry and adopt', () => {
  it.each(['retry', 'adopt'])(
    '%s refuses whatever is not failed, with the status it has, and writes nothing',
    async (action) => {
      const queued = (await accept()).id
      const completed = (await accept()).id
      await endGeneration(app.database, completed, 'completed')
      const before = await countRows(database.url)
      for (const [id, status] of [
        [queued, 'queued'],
        [completed, 'completed'],
      ] as const) {
        const reply = await client.post(`/v1/generations/${id}/${action}`, { upstream_task_id: 'sora_x' })
        const problem = problemOf(reply)
        expect(problem).toMatchObject({ status: 409, code: 'illegal_move' })
        expect(problem.detail).toContain(status)
      }
      expect(await countRows(database.url)).toEqual(before)
    },
  )

  it.each([
    [{}, 'required'],
    [{ upstream_task_id: '' }, 'task_id'],
    [{ upstream_task_id: '   ' }, 'task_id'],
    // A trailing line break is a control character: refused, not trimmed.
    [{ upstream_task_id: ' sora_found \n' }, 'task_id'],
    [{ upstream_task_id: 'x'.repeat(513) }, 'task_id'],
    [{ upstream_task_id: 7 }, 'type'],
    [{ upstream_task_id: 'sora_1', force: true }, 'unknown_field'],
  ])('adopt refuses %j', async (body, rule) => {
    const id = await unknown()
    const reply = await client.post(`/v1/generations/${id}/adopt`, body)
    expect(problemOf(reply)).toMatchObject({ code: 'validation_failed', errors: [{ rule }] })
    expect(generationOf(await client.get(`/v1/generations/${id}`)).status).toBe('failed')
  })

  it.each(['retry', 'adopt'])('%s knows no generation of another project', async (action) => {
    const stranger = await clientOfNewProject(app, `stranger to ${action}`)
    const reply = await stranger.post(`/v1/generations/${await unknown()}/${action}`, { upstream_task_id: 'sora_x' })
    expect(problemOf(reply).code).toBe('not_found')
  })

  it('a retry inside a finished batch changes its counts, never its end', async () => {
    const created = JSON.parse((await client.post('/v1/batches', { items: [MINIMAL] })).text) as { id: string }
    const list = JSON.parse((await client.get(`/v1/generations?batch_id=${created.id}`)).text) as {
      data: { id: string }[]
    }
    const id = list.data[0]?.id ?? ''
    await endGeneration(app.database, id, 'failed')
    const { finishBatches } = await import('@reelqueue/shared/store/intake/batches')
    await finishBatches(app.database, [created.id])
    const ended = (await app.database.prisma.batch.findUniqueOrThrow({ where: { id: created.id } })).completedAt
    expect(ended).not.toBeNull()
    await client.post(`/v1/generations/${id}/retry`)
    await finishBatches(app.database, [created.id])
    const batch = JSON.parse((await client.get(`/v1/batches/${created.id}`)).text)
    expect(batch).toMatchObject({ completed_at: ended?.toISOString(), counts: { queued: 1, failed: 0 } })
    expect(await app.database.prisma.event.count({ where: { batchId: created.id } })).toBe(1)
  })
})

describe('what to do about an unknown outcome', () => {
  const policyOf = async (fields: Record<string, unknown>) => (await accept(fields)).on_unknown_submission

  it('is said by the request, else by the batch, else by the project, else it is fail', async () => {
    expect(await policyOf({})).toBe('fail')
    const changed = await client.patch('/v1/project', { on_unknown_submission: 'resubmit' })
    expect(changed.status, changed.text).toBe(200)
    expect(projectJson.strict().parse(JSON.parse(changed.text)).on_unknown_submission).toBe('resubmit')
    expect(JSON.parse((await client.get('/v1/project')).text)).toEqual(JSON.parse(changed.text))
    expect(await policyOf({})).toBe('resubmit')
    expect(await policyOf({ on_unknown_submission: 'fail' })).toBe('fail')

    const items = [MINIMAL, { ...MINIMAL, on_unknown_submission: 'resubmit' }]
    const batch = await client.post('/v1/batches', { defaults: { on_unknown_submission: 'fail' }, items })
    const { id } = JSON.parse(batch.text) as { id: string }
    const { data } = JSON.parse((await client.get(`/v1/generations?batch_id=${id}`)).text) as { data: GenerationJson[] }
    expect(data.map((one) => one.on_unknown_submission).sort()).toEqual(['fail', 'resubmit'])
    await client.patch('/v1/project', { on_unknown_submission: 'fail' })
  })

  it('cannot be anything else, and no other field of a project can be changed', async () => {
    const wrong = problemOf(await client.patch('/v1/project', { on_unknown_submission: 'pay' }))
    expect(wrong).toMatchObject({
      code: 'validation_failed',
      errors: [{ field: 'on_unknown_submission', rule: 'one_of' }],
    })
    const unknownField = problemOf(await client.patch('/v1/project', { name: 'mine' }))
    expect(unknownField).toMatchObject({ errors: [{ field: 'name', rule: 'unknown_field' }] })
    expect((await client.patch('/v1/project', {})).status).toBe(200)
  })
})

describe('what the provider answered', () => {
  const reply = {
    http_status: 200,
    headers: { server: 'nginx' },
    body: '{"id":1',
    truncated: true,
    bytes: 7,
    cut: 'TIMEOUT',
  }
  const options = { firstPollMs: 1_000, renderMaxMs: 1_000 }

  it('is shown where one generation is read, and nowhere else', async () => {
    const { id } = await accept()
    const submissionId = await openSubmission(app.database, id)
    await recordOutcome(app.database, submissionId, { ...UNKNOWN, reply }, options)
    const read = generationOf(await client.get(`/v1/generations/${id}`))
    expect(read.submissions).toMatchObject([
      { id: submissionId, state: 'unknown', error: { code: UNKNOWN.code }, reply },
    ])
    expect(read.last_poll).toBeUndefined()
    expect((await client.get('/v1/generations')).text).not.toContain('nginx')
    expect((await client.get(`/v1/generations/${id}/events`)).text).not.toContain('nginx')
    const stranger = await clientOfNewProject(app, 'stranger to its answers')
    expect((await stranger.get(`/v1/generations/${id}`)).status).toBe(404)
  })

  it('is kept with an ordinary acceptance, in its one statement', async () => {
    const { id } = await accept()
    const submissionId = await openSubmission(app.database, id)
    const accepted = {
      submissionId,
      taskId: `sora_${id}`,
      reply: { ...reply, truncated: false, cut: null },
      ...options,
    }
    expect(await recordAccepted(app.database, [accepted])).toMatchObject([{ status: 'processing' }])
    const read = generationOf(await client.get(`/v1/generations/${id}`))
    expect(read.submissions).toMatchObject([{ state: 'accepted', reply: accepted.reply }])
  })
})
