// The body of POST /v1/batches on its way in: at most so many bytes at a time, in all and of one project, each in a file of its own.
// A document leaves only its frame in memory, so that Fastify's checks see what they would see of any other body.

import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { textErrors } from '@reelqueue/shared/contract/refusal'
import { Problem } from '@reelqueue/shared/domain/problem'
import { fairTurns, type GiveBack } from '@reelqueue/shared/runtime/fair-turns'
import type { Logger } from '@reelqueue/shared/runtime/log'
import type { FastifyRequest } from 'fastify'
import { bytesAhead } from '../bodies.ts'
import { createDocumentReader, readItemsOf } from './json-document.ts'
import { type Line, parseJson, readJsonLines } from './json-lines.ts'
import { receiveUpload, type Upload } from './upload.ts'

const DOCUMENT_BYTES_MAX = 40 * 1024 * 1024
const LINES_BYTES_MAX = 200 * 1024 * 1024
/** Of the files of all uploads under way in one process; an upload of unknown length counts as the largest of its form. */
export const UPLOADS_BYTES = {
  max: 2_048 * 1024 * 1024,
  maxPerKey: 512 * 1024 * 1024,
  waitingMaxPerKey: 100,
  waitMaxMs: 30_000,
}

export interface BatchUpload {
  readonly form: 'document' | 'lines'
  /** How many items it has; of lines: at the most. */
  readonly items: number
  /** SHA-256 of the bytes of lines, hex; of a document its normal form counts. */
  readonly hash: string | null
  /** The items from the first, each time it is called. @throws Problem `malformed_json` where a document is none */
  read(): AsyncGenerator<Line[]>
  close(): Promise<void>
}

declare module 'fastify' {
  interface FastifyRequest {
    batchUpload: BatchUpload | null
  }
}

const turns = fairTurns(UPLOADS_BYTES)

/** Takes a JSON document. @returns its frame, which is what stands beside the elements of `items` */
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

/** Takes JSON Lines. */
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

/** Lines, blank ones included. */
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
