// Every reply carries the id under which the log knows its request: `X-Request-Id`, and `request_id` in a problem.

import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { PROBLEMS, type ProblemCode } from '@reelqueue/shared/domain/problem'
import type { FastifyInstance } from 'fastify'
import { REPLY_HEADERS } from './page-origin.ts'

/** What a proxy or a client may call a request: short, and nothing that could forge a line of a log. */
const SANE = /^[\w.:/+=-]{1,128}$/

/** The id that came with the request, when it is a sane one; else a new one. */
export function newRequestId({ headers }: Pick<IncomingMessage, 'headers'>): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && SANE.test(given) ? given : `req_${randomUUID().replaceAll('-', '')}`
}

export function nameRequests(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
}

/** What Node's HTTP parser refuses, by the code of its error. */
const RAW_REFUSALS: Readonly<Record<string, readonly [status: string, code: ProblemCode]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'malformed_request'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'malformed_request'],
}

/** Answers what is no HTTP, or has headers of more than 16 KB, and closes its connection. */
export function answerRawErrors(error: NodeJS.ErrnoException, socket: Socket): void {
  // Nobody is there to hear it.
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) return
  const [line, code] = RAW_REFUSALS[error.code ?? ''] ?? ['400 Bad Request', 'malformed_request']
  const { id, body } = rawProblem(code, Number.parseInt(line, 10), {})
  const headers = {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'x-request-id': id,
    connection: 'close',
    ...REPLY_HEADERS,
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${line}\r\n${lines.join('')}\r\n${body}`)
}

/** Answers an `Expect` other than `100-continue`: Node would send a 417 without a word. Its body never comes, so the connection ends. */
export function answerExpectations(fastify: FastifyInstance): void {
  fastify.server.on('checkExpectation', ({ headers }: IncomingMessage, response: ServerResponse) => {
    const { status } = PROBLEMS.expectation_failed
    const { id, body } = rawProblem('expectation_failed', status, headers)
    const type = 'application/problem+json'
    const ours = { 'content-type': type, 'x-request-id': id, connection: 'close' }
    response.writeHead(status, { ...REPLY_HEADERS, ...ours }).end(body)
  })
}

/** A problem where Fastify has no reply. */
function rawProblem(code: ProblemCode, status: number, headers: IncomingMessage['headers']) {
  const id = newRequestId({ headers })
  const { title, fix: detail } = PROBLEMS[code]
  const problem = { type: `urn:reelqueue:problem:${code}`, title, status, code, detail, request_id: id }
  return { id, body: JSON.stringify(problem) }
}
