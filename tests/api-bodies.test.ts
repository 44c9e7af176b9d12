// Many clients of a project begin bodies and do not finish: the bodies fill the share of the same project only.

import { once } from 'node:events'
import { connect } from 'node:net'
import { BODIES_BYTES } from '@reelqueue/api/bodies'
import { expect, it } from 'vitest'
import { clientOfNewProject, MINIMAL, problemOf, startApi } from './support/api.ts'
import { until } from './support/wait.ts'

const { app, client } = await startApi()
const BODY_BYTES = 1024 * 1024
const IN_SHARE = BODIES_BYTES.maxPerKey / BODY_BYTES

/** Sends the head of a request and the beginning of its body. */
function begin(path: string, headers: readonly string[], beginning: string) {
  const head = [`POST ${path} HTTP/1.1`, 'Host: test', `Authorization: Bearer ${app.key}`, ...headers]
  return open(`${head.join('\r\n')}\r\n\r\n${beginning}`)
}

/** A request head without an end. */
const beginHead = () => open('GET / HTTP/1.1\r\nX-Slow: ')

async function open(beginning: string) {
  const socket = connect(Number(new URL(app.url).port))
  let heard = ''
  socket.on('data', (piece) => {
    heard += piece
  })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(beginning)
  return { socket, heard: () => heard }
}

/** Announces a body of 1 MiB and sends a single byte. */
const beginBody = () =>
  begin('/v1/generations', ['Content-Type: application/json', `Content-Length: ${BODY_BYTES}`], '{')

const LINE = `${JSON.stringify(MINIMAL)}\n`
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`

/** An upload stopped after the first line. */
const beginUpload = () =>
  begin('/v1/batches', ['Content-Type: application/x-ndjson', 'Transfer-Encoding: chunked'], chunk(LINE))

// Concurrent, because each test waits for half a minute.
it.concurrent('bodies that do not come take the share of their own project, and that for a bounded time', async () => {
  const quiet = await clientOfNewProject(app, 'quiet')
  const begun = await Promise.all(Array.from({ length: IN_SHARE + 2 }, beginBody))
  const answered = (code: string) => begun.filter(({ heard }) => heard().includes(`"code":"${code}"`)).length
  const wide = { ...MINIMAL, prompt: 'x'.repeat(30_000) }
  expect((await quiet.post('/v1/generations', wide)).status).toBe(202)
  await until('those beyond the share are refused', () => answered('too_many_at_once') === 2, { timeoutMs: 60_000 })
  const late = begun.find(({ heard }) => heard().includes('too_many_at_once'))
  expect(late?.heard()).toMatch(/^HTTP\/1.1 429 [\s\S]*retry-after: 5\r\n/)
  expect((await quiet.post('/v1/generations', wide)).status).toBe(202)
  await until('the others had their time', () => answered('request_timeout') === IN_SHARE, { timeoutMs: 120_000 })
  // No bytes are reserved any more; an invalid or truncated body reserves nothing either.
  for (const { socket } of begun) socket.destroy()
  for (let n = 0; n < 2 * IN_SHARE; n++) {
    const reply = await client.post('/v1/generations', 'x'.repeat(BODY_BYTES - 1), {
      'content-type': 'application/json',
    })
    expect(problemOf(reply).code).toBe('malformed_json')
    const { socket } = await beginBody()
    socket.destroy()
  }
  expect((await client.post('/v1/generations', wide)).status).toBe(202)
}, 180_000)

it.concurrent('an upload may be slow, but not silent; headers may be neither', async () => {
  const [slow, silent, headless] = await Promise.all([beginUpload(), beginUpload(), beginHead()])
  const dripping = setInterval(() => {
    slow.socket.write(chunk(LINE))
    headless.socket.write('x')
  }, 1_000)
  await until('the silent one is given up', () => silent.heard().includes('"request_timeout"'), { timeoutMs: 120_000 })
  expect(silent.heard()).toMatch(/^HTTP\/1.1 408 /)
  expect(slow.heard()).toBe('')
  expect(headless.heard()).toMatch(/^HTTP\/1.1 408 /)
  clearInterval(dripping)
  slow.socket.write('0\r\n\r\n')
  await until('the slow one is a batch', () => slow.heard().startsWith('HTTP/1.1 202 '))
  slow.socket.destroy()
  // Client errors must not log warnings.
  const warnings = (await app.logLines()).filter(({ level }) => Number(level) >= 40)
  expect(warnings).toEqual([])
}, 180_000)

it('a client that leaves while its body waits for room takes none', async () => {
  const within = await Promise.all(Array.from({ length: IN_SHARE }, beginBody))
  const expecting = ['Content-Type: application/json', `Content-Length: ${BODY_BYTES}`, 'Expect: 100-continue']
  const waiting = await Promise.all(Array.from({ length: IN_SHARE }, () => begin('/v1/generations', expecting, '')))
  await until('all are there', () => waiting.every(({ heard }) => heard().includes('100 Continue')))
  for (const { socket } of waiting) socket.destroy()
  // After this reply the server has processed the earlier bytes.
  await client.get('/v1/generations')
  for (const { socket } of within) socket.destroy()
  expect((await client.post('/v1/generations', MINIMAL)).status).toBe(202)
}, 60_000)
