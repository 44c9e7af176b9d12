// The whole life of a generation, on both queue backends. Reconcile runs only once, at the start, so all progress comes
// from enqueued jobs. All generations run at the same time; each test waits for its own.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defaultsOf } from './support/database.ts'
import { BACKENDS, type Pipeline, startPipeline } from './support/pipeline.ts'
import { until } from './support/wait.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
const PLAIN = 100
const BUSY = 20

/** Faults by a tag in the prompt. */
const FAULTS = {
  reset: '[sim:reset]',
  hang: '[sim:hang]',
  serverError: '[sim:500]',
  html: '[sim:html]',
  noId: '[sim:noid]',
  truncated: '[sim:truncated]',
  rejected: '[sim:reject=1001,no such thing]',
  failing: '[sim:fail=content policy][sim:render=200]',
  polls: '[sim:poll500=2][sim:pollreset=1][sim:pollhtml=1][sim:poll429=1][sim:poll404=1]',
  withoutUrl: '[sim:nourl=2]',
  oddWords: '[sim:status=GENERATING][sim:id=data.projectId][sim:idstyle=odd][sim:url=data.result_url]',
  oddEnd: '[sim:status=Succeeded][sim:wrap="0"][sim:nulls][sim:amount=0.8][sim:tokens="108000"]',
} as const
const UNKNOWN = ['reset', 'hang', 'serverError', 'html', 'noId', 'truncated'] as const

describe.each(BACKENDS)('on %s', (backend) => {
  let pipeline: Pipeline
  let plain: string[]
  let busy: string[]
  let batch: string
  let flaky: string
  let resubmitted: string
  let faulty: Record<keyof typeof FAULTS, string>

  beforeAll(async () => {
    pipeline = await startPipeline({
      backend,
      // Longer than a pause of a busy machine: every loss in this test is on purpose.
      env: { RECONCILE_INTERVAL_MS: '600000', UPSTREAM_TIMEOUT_MS: '20000' },
    })
    const webhook_url = pipeline.hook('/hook')
    // Plain generations first: a few lost answers stop a worker with an unproven provider.
    plain = await Promise.all(Array.from({ length: PLAIN }, () => pipeline.post('', { webhook_url })))
    faulty = Object.fromEntries(
      await Promise.all(Object.entries(FAULTS).map(async ([name, tags]) => [name, await pipeline.post(tags)])),
    ) as typeof faulty
    flaky = await pipeline.post('', { webhook_url: pipeline.hook('/flaky') })
    resubmitted = await pipeline.post('[sim:reset=1]', { on_unknown_submission: 'resubmit' })
    busy = await Promise.all(Array.from({ length: BUSY }, () => pipeline.post('[sim:429=2]')))
    const items = [{}, {}, { prompt: FAULTS.failing }, { prompt: '[sim:reject]' }]
    batch = await pipeline.postBatch(items, { defaults: { model: 'openAiSora2Pro' }, webhook_url })
  })
  afterAll(() => pipeline?.close())

  it('runs on a database with hostile defaults, of the Postgres that was asked for', async () => {
    const { version, inherited, meant } = await defaultsOf(pipeline.environment.DATABASE_URL ?? '')
    expect(inherited).toEqual(meant)
    const { DATABASE_URL, TEST_POSTGRES = '' } = process.env
    const [, major] = /^embedded:(\d+)$/.exec(TEST_POSTGRES) ?? []
    if (major && !DATABASE_URL) expect(version).toBe(Number(major))
  })

  it(`pays for ${PLAIN} generations exactly ${PLAIN} times, and stores every video with its expiry`, async () => {
    const ended = await Promise.all(plain.map((id) => pipeline.ended(id)))
    const errors = ended.flatMap(({ error }) => (error ? [`${error.code}: ${error.message}`] : []))
    expect(errors, errors.join()).toEqual([])
    for (const generation of ended) {
      expect(generation).toMatchObject({ status: 'completed', error: null, video_url: expect.stringMatching(/\.mp4$/) })
      const expiresIn = Date.parse(generation.video_url_expires_at ?? '') - Date.parse(generation.finished_at ?? '')
      expect(Math.abs(expiresIn - DAY_MS)).toBeLessThan(MINUTE_MS)
    }
    expect(new Set(ended.map((generation) => generation.upstream_task_id)).size).toBe(PLAIN)
    const paid = await Promise.all(plain.map((id) => pipeline.submissions(id)))
    expect(paid).toEqual(plain.map(() => 1))
  })

  it(`sends one verified webhook with an id of its own for each`, async () => {
    const about = () => pipeline.receipts().filter((receipt) => plain.includes(receipt.data.id))
    await until(`${PLAIN} webhooks`, () => about().length >= PLAIN, { timeoutMs: 30_000 })
    expect(about().map((receipt) => receipt.type)).toEqual(plain.map(() => 'generation.completed'))
    expect(new Set(about().map((receipt) => receipt.data.id)).size).toBe(PLAIN)
    expect(new Set(about().map((receipt) => receipt.webhookId)).size).toBe(PLAIN)
    // The provider's answers are shown only when a single generation is read.
    const { submissions, last_poll: _, ...generation } = await pipeline.get(about()[0]?.data.id ?? '')
    expect(submissions).toMatchObject([{ state: 'accepted', reply: { http_status: 200, truncated: false } }])
    expect(JSON.parse(about()[0]?.body ?? '').data).toEqual(generation)
  })

  it('sends a webhook again after a 500, with the same id and the very same body', async () => {
    const about = () => pipeline.receipts().filter((receipt) => receipt.path === '/flaky')
    await until('the second attempt', () => about().length >= 2, { timeoutMs: 30_000 })
    const [first, second, ...more] = about()
    expect(first).toMatchObject({ type: 'generation.completed', data: { id: flaky } })
    expect(second).toEqual(first)
    expect(more).toEqual([])
  })

  it('sends one webhook for a batch, when its last generation has ended', async () => {
    const about = () => pipeline.receipts().filter((receipt) => receipt.data.id === batch)
    await until('batch.completed', () => about().length > 0, { timeoutMs: 30_000 })
    expect(about().map((receipt) => receipt.type)).toEqual(['batch.completed'])
    expect(JSON.parse(about()[0]?.body ?? '').data).toMatchObject({
      status: 'completed',
      total: 4,
      counts: { completed: 2, failed: 2, queued: 0, submitting: 0, processing: 0, cancelled: 0 },
    })
  })

  // A retry is enqueued again later, with two workers on the queue (taskforcesh/bullmq #4814).
  it('after a 429 tries again by itself until it is accepted, and every try is in the ledger', async () => {
    for (const id of busy) {
      expect(await pipeline.ended(id)).toMatchObject({ status: 'completed' })
      expect((await pipeline.ledger(id)).map((one) => one.state)).toEqual(['rejected', 'rejected', 'accepted'])
      expect(await pipeline.submissions(id)).toBe(3)
    }
  })

  it.each(UNKNOWN)('never pays twice when the answer is lost (%s)', async (fault) => {
    expect(await pipeline.ended(faulty[fault])).toMatchObject({
      status: 'failed',
      error: { code: 'submission_unknown' },
      video_url: null,
    })
    expect((await pipeline.ledger(faulty[fault])).map((one) => one.state)).toEqual(['unknown'])
    expect(await pipeline.submissions(faulty[fault])).toBe(1)
  })

  it('pays a second time when the caller asked for it, and no third time', async () => {
    expect(await pipeline.ended(resubmitted)).toMatchObject({ status: 'completed' })
    expect((await pipeline.ledger(resubmitted)).map((one) => one.state)).toEqual(['unknown', 'accepted'])
    expect(await pipeline.submissions(resubmitted)).toBe(2)
  })

  it('passes on the code and message with which the provider refused', async () => {
    const { status, error } = await pipeline.ended(faulty.rejected)
    expect(status).toBe('failed')
    expect(error?.code).toContain('1001')
    expect(error?.message).toContain('no such thing')
    expect(await pipeline.submissions(faulty.rejected)).toBe(1)
  })

  it('passes on why the render failed', async () => {
    expect(await pipeline.ended(faulty.failing)).toMatchObject({
      status: 'failed',
      error: { message: expect.stringContaining('content policy') },
      upstream_task_id: expect.any(String),
    })
  })

  it.each(['polls', 'withoutUrl', 'oddWords', 'oddEnd'] as const)('survives trouble with polls: %s', async (fault) => {
    expect(await pipeline.ended(faulty[fault])).toMatchObject({
      status: 'completed',
      video_url: expect.stringMatching(/\.mp4$/),
    })
    expect(await pipeline.submissions(faulty[fault])).toBe(1)
  })

  it('has logged what it did, without a prompt, a key or a secret, and no step has failed', async () => {
    await pipeline.stopTestApps()
    const logs = await pipeline.logs()
    for (const event of ['request.completed', 'submit.recorded', 'complete.done', 'deliver.attempted', 'poll.run']) {
      expect(logs).toContain(`"event":"${event}"`)
    }
    for (const secret of pipeline.secrets) expect(logs).not.toContain(secret)
    const failed = logs.split('\n').filter((line) => /"event":"(step\.failed|queue\.error|queue\.dropped)"/.test(line))
    expect(failed, failed.join('\n')).toEqual([])
  })
})
