// Every reply carries the request id used in the log: `X-Request-Id`, and `request_id` in a problem.

import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { PROBLEMS, type ProblemCode } from '@reelqueue/contract/terms/problem'
import type { FastifyInstance } from 'fastify'
import { REPLY_HEADERS } from './page-origin.ts'

/** Accepted request ids of proxies and clients: short, without characters that could forge a log line. */
const SANE = /^[\w.:/+=-]{1,128}$/

/** The id sent with the request, if acceptable; otherwise a new id. */
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

/** Refusals of Node's HTTP parser, by error code. */
const RAW_REFUSALS: Readonly<Record<string, readonly [status: string, code: ProblemCode]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'malformed_request'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'malformed_request'],
}

/** Answers bytes that are not HTTP, or headers above 16 KB, and closes the connection. */
export function answerRawErrors(error: NodeJS.ErrnoException, socket: Socket): void {
  // The client is gone.
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

/**
 * Answers an `Expect` other than `100-continue`: Node would send a 417 without a body. The client never sends the body,
 * so the connection is closed.
 */
export function answerExpectations(fastify: FastifyInstance): void {
  fastify.server.on('checkExpectation', ({ headers }: IncomingMessage, response: ServerResponse) => {
    const { status } = PROBLEMS.expectation_failed
    const { id, body } = rawProblem('expectation_failed', status, headers)
    const type = 'application/problem+json'
    const ours = { 'content-type': type, 'x-request-id': id, connection: 'close' }
    response.writeHead(status, { ...REPLY_HEADERS, ...ours }).end(body)
  })
}

/** A problem for replies written without Fastify. */
function rawProblem(code: ProblemCode, status: number, headers: IncomingMessage['headers']) {
  const id = newRequestId({ headers })
  const { title, fix: detail } = PROBLEMS[code]
  const problem = { type: `urn:reelqueue:problem:${code}`, title, status, code, detail, request_id: id }
  return { id, body: JSON.stringify(problem) }
}
