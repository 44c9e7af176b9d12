// The simulator over real sockets: answers and faults as seen by a client. Raw `http` instead of a client library, so
// nothing retries, pools or hides the wire.
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import { buildSimulator, type SimulatorOptions } from '@reelqueue/simulator/app'
import { FORMS } from '@reelqueue/simulator/forms'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { PLAIN_REQUEST } from './support/scripted-upstream.ts'

type Simulator = ReturnType<typeof buildSimulator>
interface Answer {
  status: number
  headers: IncomingMessage['headers']
  text: string
}
interface Submitted {
  outcome: string
  taskId: string | null
  prompt: string
}

const open: Simulator[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map((simulator) => simulator.close()))
})

async function start(options: SimulatorOptions = {}): Promise<string> {
  const simulator = buildSimulator({ seed: 1, ...options })
  open.push(simulator)
  await simulator.listen({ host: '127.0.0.1', port: 0 })
  return `http://127.0.0.1:${(simulator.server.address() as AddressInfo).port}`
}

/** Sends a request on a new connection. Rejects when the answer is incomplete. */
async function send(
  method: string,
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const payload = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
  const outgoing = httpRequest(url, {
    method,
    agent: false,
    headers: {
      authorization: 'Bearer key',
      ...(payload !== undefined && {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(payload),
      }),
      ...headers,
    },
  })
  outgoing.end(payload)
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) }
}

function create(base: string, prompt: string, more: Record<string, unknown> = {}): Promise<Answer> {
  return send('POST', `${base}/v1/sora/videos`, { model: 'openAiSora2Plus', prompt, ...more })
}

async function createTask(base: string, prompt: string, more: Record<string, unknown> = {}): Promise<string> {
  const answer = JSON.parse((await create(base, prompt, more)).text)
  expect(answer).toMatchObject({ object: 'video.generation', model: 'openAiSora2Plus', status: 'queued' })
  return answer.id
}

function poll(base: string, id: string): Promise<Answer> {
  return send('GET', `${base}/v1/result/${encodeURIComponent(id)}`)
}

async function submissions(base: string): Promise<Submitted[]> {
  return JSON.parse((await send('GET', `${base}/control/submissions`)).text).submissions
}

/** Waits until the create request is recorded, for answers that never come. */
async function submission(base: string): Promise<Submitted> {
  return vi.waitFor(async () => {
    const [first] = await submissions(base)
    if (first === undefined) throw new Error('no submission')
    return first
  }, 10_000)
}

describe('the documented surface', () => {
  it('takes a task from queued to a playable clip of the size and length asked for', async () => {
    const base = await start({ speed: 1e9 })
    const id = await createTask(base, 'a fox', { size: '1280x720', seconds: 8 })
    const answer = JSON.parse((await poll(base, id)).text)
    expect(answer).toMatchObject({ id, status: 'completed', actualDuration: 8.042 })
    expect(answer.video_url).toBe(`${base}/files/${id}.mp4`)

    const file = await send('GET', answer.video_url, undefined, { authorization: '' })
    expect(file).toMatchObject({ status: 200, headers: { 'content-type': 'video/mp4', 'accept-ranges': 'bytes' } })
    expect(file.text.slice(4, 8)).toBe('ftyp')
    const part = await send('GET', answer.video_url, undefined, { range: 'bytes=4-7' })
    expect(part).toMatchObject({ status: 206, text: 'ftyp' })
    expect(part.headers['content-range']).toBe(`bytes 4-7/${file.headers['content-length']}`)
    expect((await send('GET', answer.video_url, undefined, { range: 'bytes=9999999-' })).status).toBe(416)
  })

  it('serves no clip before the task is completed, nor after the life of its link', async () => {
    const base = await start()
    const rendering = await createTask(base, 'a fox')
    const expired = await createTask(base, 'a fox [sim:render=0][sim:life=0]')
    expect(JSON.parse((await poll(base, rendering)).text)).not.toHaveProperty('video_url')
    for (const id of [rendering, expired]) expect((await send('GET', `${base}/files/${id}.mp4`)).status).toBe(404)
    expect((await poll(base, expired)).status).toBe(404)
  })

  it('refuses a bad parameter with HTTP 200 and a code, and leaves no task', async () => {
    const base = await start()
    const answer = await create(base, 'a fox', { seconds: 5 })
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.text)).toEqual({ code: 1001, msg: expect.stringContaining('seconds'), data: null })
    expect(await submissions(base)).toMatchObject([{ outcome: 'invalid', taskId: null, prompt: 'a fox' }])
  })

  it('refuses an unknown tag, so that a slip in a test shows', async () => {
    const base = await start()
    expect(JSON.parse((await create(base, 'a fox [sim:rset]')).text)).toMatchObject({ code: 1001 })
    expect(await submissions(base)).toMatchObject([{ outcome: 'bad_tag' }])
  })

  it('lets in only the right key', async () => {
    const base = await start({ apiKey: 'right' })
    const body = { model: 'openAiSora2Plus', prompt: 'a fox' }
    for (const authorization of ['', 'Bearer', 'Bearer wrong', 'Basic right']) {
      expect((await send('POST', `${base}/v1/sora/videos`, body, { authorization })).status).toBe(401)
      expect((await send('GET', `${base}/v1/result/x`, undefined, { authorization })).status).toBe(401)
    }
    expect((await send('POST', `${base}/v1/sora/videos`, body, { authorization: 'Bearer right' })).status).toBe(200)
    const outcomes = (await submissions(base)).map(({ outcome }) => outcome)
    expect(outcomes).toEqual([...Array(4).fill('unauthorized'), 'accepted'])
  })

  it('takes JSON only', async () => {
    const base = await start()
    const url = `${base}/v1/sora/videos`
    expect((await send('POST', url, '{"model":')).status).toBe(400)
    expect((await send('POST', url, 'prompt=a', { 'content-type': 'text/plain' })).status).toBe(415)
    expect((await submissions(base)).map(({ outcome }) => outcome)).toEqual(['malformed', 'malformed'])
  })

  it('answers under the path of the real upstream too', async () => {
    const base = await start()
    const id = await createTask(`${base}/kyyReactApiServer`, 'a fox')
    expect((await poll(`${base}/kyyReactApiServer`, id)).status).toBe(200)
  })

  it('finds an id that needs percent-encoding', async () => {
    const base = await start()
    const id = await createTask(base, '[sim:idstyle=odd][sim:render=0]')
    expect(id).toContain('/')
    const answer = JSON.parse((await poll(base, id)).text)
    expect(answer.id).toBe(id)
    expect((await send('GET', answer.video_url)).status).toBe(200)
  })
})

describe('faults on a create request', () => {
  it.each([
    ['reset', /ECONNRESET|socket hang up/],
    ['truncated', /aborted/],
  ])('%s breaks the connection after the task was made', async (fault, message) => {
    const base = await start()
    await expect(create(base, `a fox [sim:${fault}]`)).rejects.toThrow(message)
    const { taskId, outcome } = await submission(base)
    expect(outcome).toBe(fault)
    expect((await poll(base, taskId ?? '')).status).toBe(200)
  })

  it.each(['hang', 'stall'])(
    '%s never ends the answer, and does not keep the simulator from closing',
    async (fault) => {
      const base = await start()
      const answer = expect(create(base, `a fox [sim:${fault}]`)).rejects.toThrow()
      const { taskId } = await submission(base)
      expect((await poll(base, taskId ?? '')).status).toBe(200)
      await open[0]?.close()
      await answer
    },
  )

  it.each([
    ['html', 200, /^<!doctype html>/],
    ['empty', 200, /^$/],
    ['nonjson', 200, /^upstream accepted/],
    ['noid', 200, /^\{"object":"video.generation","status":"queued"\}$/],
    ['500', 500, /"code":500/],
    ['504', 504, /"code":504/],
  ])('%s answers %i without telling the id of the task it made', async (fault, status, body) => {
    const base = await start()
    const answer = await create(base, `a fox [sim:${fault}]`)
    expect(answer.status).toBe(status)
    expect(answer.text).toMatch(body)
    expect((await submissions(base))[0]).toMatchObject({ outcome: fault, taskId: expect.stringMatching(/^sora_/) })
  })

  it('huge buries the right answer under 32 MiB of filler', async () => {
    const base = await start()
    const answer = JSON.parse((await create(base, 'a fox [sim:huge]')).text)
    expect(answer.filler.length).toBe(32 * 1024 * 1024)
    expect(answer).toMatchObject({ id: expect.stringMatching(/^sora_/), status: 'queued' })
  })

  it('leaves no task when the tag says so', async () => {
    const base = await start()
    await create(base, 'a fox [sim:500][sim:notask]')
    expect((await submissions(base))[0]).toMatchObject({ outcome: '500', taskId: null })
  })

  it('429 hits the first submissions of the very same prompt, with Retry-After, and leaves no task', async () => {
    const base = await start()
    const prompt = 'a fox [sim:429=2][sim:retryafter=7]'
    const answers = [await create(base, prompt), await create(base, `${prompt} again`), await create(base, prompt)]
    expect(answers.map(({ status, headers }) => [status, headers['retry-after']])).toEqual(Array(3).fill([429, '7']))
    expect((await create(base, prompt)).status).toBe(200)
    expect((await submissions(base)).map(({ taskId }) => taskId !== null)).toEqual([false, false, false, true])
  })

  it('307 points back at the same address, where a client that follows it would submit again', async () => {
    const base = await start()
    const answer = await create(base, 'a fox [sim:307]')
    expect(answer).toMatchObject({ status: 307, headers: { location: '/v1/sora/videos' } })
  })

  it('reject says no with the code and message asked for', async () => {
    const base = await start()
    const answer = await create(base, 'a fox [sim:reject="2003",quota used up]')
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.text)).toEqual({ code: '2003', msg: 'quota used up', data: null })
  })

  it('slow answers rightly, but not sooner', async () => {
    const base = await start()
    const before = performance.now()
    await createTask(base, 'a fox [sim:slow=80]')
    expect(performance.now() - before).toBeGreaterThan(75)
  })
})

describe('the right answer in an odd form', () => {
  it.each(['gzip', 'br', 'deflate'])('%s compresses it', async (form) => {
    const { headers } = await create(await start(), `a fox [sim:${form}]`)
    expect(headers['content-encoding']).toBe(form)
  })

  it('notice puts words before the JSON', async () => {
    expect((await create(await start(), 'a fox [sim:notice]')).text).toMatch(/^<br \/>[\s\S]*\{"id":"sora_/)
  })

  it('longheaders are more than clients take by default', async () => {
    await expect(create(await start(), 'a fox [sim:longheaders]')).rejects.toThrow(/Parse Error/)
  })

  it.each([
    ['bothlengths', /Content-Length: \d+\r\nTransfer-Encoding: chunked\r\n\r\n[0-9a-f]+\r\n\{.*\}\r\n0\r\n\r\n$/],
    ['shortlength', /Content-Length: \d+\r\n\r\n\{.*\}$/],
    ['unchunked', /Transfer-Encoding: chunked\r\n\r\n\{.*\}$/],
  ])('%s breaks the framing of HTTP', async (form, expected) => {
    const { hostname, port } = new URL(await start())
    const body = JSON.stringify({ model: 'openAiSora2Plus', prompt: `a fox [sim:${form}]` })
    const head = `POST /v1/sora/videos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nContent-Type: application/json`
    const socket = connect({ host: hostname, port: Number(port) })
    socket.write(`${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    const bytes = await text(socket)
    expect(bytes).toMatch(expected)
    const sent = /\{.*\}/.exec(bytes)?.[0].length ?? 0
    if (form === 'shortlength') expect(bytes).toContain(`Content-Length: ${sent - 4}\r\n`)
  })

  it.each(FORMS)('%s is read by the adapter, at the create and at polls, which name a signed link', async (form) => {
    const base = await start()
    const upstream = createGlobalAi({ baseUrl: base, apiKey: 'key', timeoutMs: 5_000 })
    const prompt = `a fox [sim:${form}][sim:poll${form}][sim:render=0][sim:signed=600]`
    const outcome = await upstream.submit({ ...PLAIN_REQUEST, prompt })
    const { taskId } = await submission(base)
    expect(outcome).toMatchObject({ kind: 'accepted', taskId })
    const answer = await upstream.poll(taskId ?? '')
    await upstream.close()
    expect(answer).toMatchObject({ kind: 'completed', videoUrl: expect.stringContaining('X-Amz-Expires=600&') })
    const leftMs = Date.parse((answer.kind === 'completed' && answer.expiresAt) || '') - Date.now()
    expect(leftMs).toBeGreaterThan(0)
    expect(leftMs).toBeLessThanOrEqual(600_000)
  })
})

describe('faults on a poll', () => {
  it('come in the order of the tags, and never change the task', async () => {
    const base = await start()
    const id = await createTask(base, '[sim:render=0][sim:poll500=2][sim:poll429=1][sim:pollhtml=1][sim:forget=1]')
    const statuses: number[] = []
    for (let number = 0; number < 6; number += 1) statuses.push((await poll(base, id)).status)
    expect(statuses).toEqual([500, 500, 429, 200, 404, 200])
    expect(JSON.parse((await poll(base, id)).text).status).toBe('completed')
  })

  it.each(['reset', 'truncated'])('%s breaks the connection once', async (fault) => {
    const base = await start()
    const id = await createTask(base, `[sim:poll${fault}=1]`)
    await expect(poll(base, id)).rejects.toThrow()
    expect((await poll(base, id)).status).toBe(200)
  })

  it('forgets a task for good after its end was reported', async () => {
    const base = await start()
    const id = await createTask(base, '[sim:render=0][sim:forgetdone]')
    expect((await poll(base, id)).status).toBe(200)
    expect((await poll(base, id)).status).toBe(404)
  })
})

describe('the control endpoints', () => {
  it('arm a fault for the next requests, or until cleared', async () => {
    const base = await start()
    const arm = (body: unknown) => send('POST', `${base}/control/faults`, body)
    const id = await createTask(base, 'a fox')
    expect((await arm({ on: 'create', fault: 'reject=1001', times: 1 })).status).toBe(200)
    expect((await arm({ on: 'poll', fault: '503' })).status).toBe(200)
    expect(JSON.parse((await create(base, 'a fox')).text).code).toBe(1001)
    await createTask(base, 'a fox')
    expect([(await poll(base, id)).status, (await poll(base, id)).status]).toEqual([503, 503])
    expect((await send('DELETE', `${base}/control/faults`)).status).toBe(204)
    expect((await poll(base, id)).status).toBe(200)
  })

  it.each([{}, { on: 'file', fault: '500' }, { on: 'poll', fault: 'explode' }, { on: 'poll', fault: '500', times: 0 }])(
    'refuse to arm %j',
    async (body) => {
      const base = await start()
      expect((await send('POST', `${base}/control/faults`, body)).status).toBe(400)
    },
  )

  it('end a task at once, either way', async () => {
    const base = await start()
    const id = await createTask(base, '[sim:stuck]')
    const end = (body: unknown) => send('POST', `${base}/control/tasks/${id}`, body)
    expect((await end({ status: 'failed', error: 'by hand' })).status).toBe(200)
    expect(JSON.parse((await poll(base, id)).text)).toMatchObject({ status: 'failed', error: 'by hand' })
    expect((await end({ status: 'completed' })).status).toBe(200)
    expect(JSON.parse((await poll(base, id)).text)).toMatchObject({ status: 'completed' })
    expect((await send('POST', `${base}/control/tasks/none`, { status: 'completed' })).status).toBe(404)
  })

  it('change the speed of what is rendering', async () => {
    const base = await start()
    const id = await createTask(base, 'a fox')
    expect(JSON.parse((await poll(base, id)).text).status).toBe('queued')
    expect((await send('POST', `${base}/control/speed`, { speed: 1e9 })).status).toBe(200)
    expect(JSON.parse((await poll(base, id)).text).status).toBe('completed')
    expect((await send('POST', `${base}/control/speed`, { speed: 0 })).status).toBe(400)
  })

  it('count and forget what was asked', async () => {
    const base = await start()
    const body = { model: 'openAiSora2Plus', prompt: 'a fox', seconds: 8, seed: 5 }
    const id = JSON.parse((await send('POST', `${base}/v1/sora/videos`, body)).text).id
    await create(base, 'a hen [sim:429]')
    await poll(base, id)
    await poll(base, 'unknown')
    expect(await submissions(base)).toMatchObject([
      { number: 1, model: body.model, prompt: 'a fox', body, outcome: 'accepted', taskId: id },
      { number: 2, prompt: 'a hen [sim:429]', outcome: '429', taskId: null },
    ])
    expect(JSON.parse((await send('GET', `${base}/control/stats`)).text)).toMatchObject({
      submissions: { total: 2, byOutcome: { accepted: 1, '429': 1 } },
      tasks: { created: 1, queued: 1 },
      polls: { answered: 1, not_found: 1 },
    })
    expect((await send('DELETE', `${base}/control/submissions`)).status).toBe(204)
    expect(await submissions(base)).toEqual([])
    expect((await create(base, 'a hen [sim:429]')).status).toBe(429)
  })
})
