// Receives the body of POST /v1/batches: each body goes into a separate file, and the bytes of simultaneous uploads are
// bounded, in total and for each project. Only the frame of a document stays in memory, so Fastify's checks see the
// frame as an ordinary body.

import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { Problem } from '@reelqueue/contract/terms/problem'
import { textErrors } from '@reelqueue/contract/wire/refusal'
import { fairTurns, type GiveBack } from '@reelqueue/shared/runtime/fair-turns'
import type { Logger } from '@reelqueue/shared/runtime/log'
import type { FastifyRequest } from 'fastify'
import { bytesAhead } from '../bodies.ts'
import { createDocumentReader, readItemsOf } from './json-document.ts'
import { type Line, parseJson, readJsonLines } from './json-lines.ts'
import { receiveUpload, type Upload } from './upload.ts'

const DOCUMENT_BYTES_MAX = 40 * 1024 * 1024
const LINES_BYTES_MAX = 200 * 1024 * 1024
/** File bytes of all open uploads in one process; an upload of unknown length counts as the largest of the form. */
export const UPLOADS_BYTES = {
  max: 2_048 * 1024 * 1024,
  maxPerKey: 512 * 1024 * 1024,
  waitingMaxPerKey: 100,
  waitMaxMs: 30_000,
}

export interface BatchUpload {
  readonly form: 'document' | 'lines'
  /** Number of items; for lines an upper bound. */
  readonly items: number
  /** SHA-256 of the lines' bytes, hex; null for a document, where the normal form is hashed. */
  readonly hash: string | null
  /** Reads the items from the start, at each call. @throws Problem `malformed_json` for an invalid document */
  read(): AsyncGenerator<Line[]>
  close(): Promise<void>
}

declare module 'fastify' {
  interface FastifyRequest {
    batchUpload: BatchUpload | null
  }
}

const turns = fairTurns(UPLOADS_BYTES)

/** Receives a JSON document. @returns the frame: the document without the elements of `items` */
export async function receiveDocument(request: FastifyRequest, body: Readable, log: Logger): Promise<unknown> {
  const reader = createDocumentReader()
  const { upload, giveBack } = await receive(request, body, DOCUMENT_BYTES_MAX, (piece) => reader.push(piece), log)
  const { bytes, items } = reader.end()
  request.batchUpload = {
    form: 'document',
    items,
    hash: null,
    read: () => readItemsOf(upload.read()),
    close: () => closeOnce(upload, giveBack),
  }
  const frame = parseJson(bytes)
  if (frame === null || 'broken' in frame)
    throw new Problem('malformed_json', frame?.broken === 'utf8' ? 'The body is not valid UTF-8.' : undefined)
  if (frame.faults) request.textErrors = textErrors(frame.faults)
  return frame.value
}

/** Receives JSON Lines. */
export async function receiveLines(request: FastifyRequest, body: Readable, log: Logger): Promise<void> {
  const hash = createHash('sha256')
  const counter = createLineCounter()
  const watch = (piece: Buffer) => {
    hash.update(piece)
    counter.push(piece)
  }
  const { upload, giveBack } = await receive(request, body, LINES_BYTES_MAX, watch, log)
  request.batchUpload = {
    form: 'lines',
    items: counter.lines(),
    hash: hash.digest('hex'),
    read: () => readJsonLines(upload.read()),
    close: () => closeOnce(upload, giveBack),
  }
}

async function closeOnce(upload: Upload, giveBack: GiveBack): Promise<void> {
  await upload.close()
  giveBack()
}

async function receive(
  request: FastifyRequest,
  body: Readable,
  bytesMax: number,
  watch: (piece: Buffer) => void,
  log: Logger,
): Promise<{ upload: Upload; giveBack: GiveBack }> {
  const bytes = bytesAhead(request.headers) ?? bytesMax
  if (bytes > bytesMax) throw new Problem('body_too_large')
  const giveBack = await turns.take(request.project.id, bytes)
  try {
    return { upload: await receiveUpload(body, bytesMax, watch, log), giveBack }
  } catch (error) {
    giveBack()
    throw error
  }
}

const LF = 10

/** Counts lines, including blank lines. */
function createLineCounter() {
  let ends = 0
  let last = LF
  return {
    push(piece: Buffer): void {
      for (let at = piece.indexOf(LF); at !== -1; at = piece.indexOf(LF, at + 1)) ends++
      last = piece.at(-1) ?? last
    },
    lines: () => (last === LF ? ends : ends + 1),
  }
}
