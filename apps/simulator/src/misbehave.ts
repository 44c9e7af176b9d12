// Carries out a fault on a live connection. For every fault the request has already been read and recorded: a client has to deal with an
// unknown outcome.
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { refusal } from './answers.ts'
import type { Fault } from './faults.ts'

const HUGE_BYTES = 32 * 1024 * 1024
const HTML = '<!doctype html><html><head><title>Gateway</title></head><body><h1>Please wait</h1></body></html>'

/** Waits without keeping the process alive: a closed simulator must not linger for a slow answer. */
export async function pause(durationMs: number): Promise<void> {
  if (durationMs > 0) await delay(durationMs, undefined, { ref: false })
}

/**
 * Answers with the fault. `honest` makes the right answer, `retryAfter` is the header of 429 and 503 (null: no header). Returns false
 * when the caller still has to answer: a `slow` fault only waits, and a `form` needs the right answer.
 */
export async function misbehave(
  request: FastifyRequest,
  reply: FastifyReply,
  fault: Fault,
  honest: () => Record<string, unknown>,
  retryAfter: string | null,
): Promise<boolean> {
  switch (fault.kind) {
    case 'slow':
      await pause(fault.delayMs)
      return false
    case 'form':
      return false
    case 'status':
      if (fault.status < 400) reply.header('location', request.url)
      if (retryAfter !== null && (fault.status === 429 || fault.status === 503)) reply.header('retry-after', retryAfter)
      await reply.code(fault.status).send(refusal(fault.status, 'simulated fault'))
      return true
    case 'reject':
      await reply.send(refusal(fault.code, fault.message))
      return true
    case 'refuse':
      await reply.code(fault.status).send(refusal(fault.status, fault.message))
      return true
    case 'page':
      await reply.code(fault.status).type('text/html').send(HTML)
      return true
    case 'cdn':
      await reply
        .code(fault.status)
        .headers({ server: 'cloudflare', 'cf-ray': 'simulated' })
        .type('text/html')
        .send(HTML)
      return true
    case 'html':
      await reply.type('text/html; charset=utf-8').send(HTML)
      return true
    case 'empty':
      await reply.type('application/json').send('')
      return true
    case 'nonjson':
      await reply.type('application/json').send('upstream accepted: ok')
      return true
    case 'noid':
      await reply.send({ object: 'video.generation', status: 'queued' })
      return true
    case 'huge':
      await reply.type('application/json').send(Readable.from(padded(honest())))
      return true
    case 'hang':
      reply.hijack()
      return true
    case 'reset':
      reply.hijack()
      request.socket.resetAndDestroy()
      return true
    case 'truncated':
    case 'stall':
      breakOff(request, reply, JSON.stringify(honest()), fault.kind === 'truncated')
      return true
  }
}

/** Sends half of `body`, then closes the connection or falls silent. */
function breakOff(request: FastifyRequest, reply: FastifyReply, body: string, close: boolean): void {
  reply.hijack()
  reply.raw.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  reply.raw.write(body.slice(0, body.length / 2), () => {
    if (close) request.socket.destroy()
  })
}

/** `honest` as JSON with 32 MiB of filler before its fields. */
function* padded(honest: Record<string, unknown>): Generator<string> {
  const chunk = 'x'.repeat(64 * 1024)
  yield '{"filler":"'
  for (let sent = 0; sent < HUGE_BYTES; sent += chunk.length) yield chunk
  yield `",${JSON.stringify(honest).slice(1)}`
}
