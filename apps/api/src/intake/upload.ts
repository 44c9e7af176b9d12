// An upload on its way to the database: kept in a file that has no name, so that neither a slow client holds a transaction
// open nor a large body fills the memory, and nothing is left behind by a process that dies.

import { createHash } from 'node:crypto'
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { Problem } from '@reelqueue/shared/domain/problem'
import type { Logger } from '@reelqueue/shared/runtime/log'

/** What is read beyond the limit, so that a client that is still sending hears the refusal instead of a reset. */
const DRAIN_BYTES_MAX = 256 * 1024 * 1024
/** Small: the lines of one piece are checked in one turn of the event loop. */
const READ_BYTES = 64 * 1024
const LF = 10

export interface Upload {
  /** SHA-256 of the bytes, hex. */
  readonly hash: string
  /** How many lines it has, blank ones included. */
  readonly lines: number
  /** The bytes again, from the first; may be read once. */
  read(): AsyncIterable<Buffer>
  close(): Promise<void>
}

/**
 * Takes a body of at most `bytesMax`.
 * @throws Problem `body_too_large`, or `malformed_request` when the client goes away before its end
 */
export async function receiveUpload(body: Readable, bytesMax: number, log: Logger): Promise<Upload> {
  const file = await openNameless()
  let bytes = 0
  let lines = 0
  let last = LF
  try {
    const hash = createHash('sha256')
    for await (const piece of body as AsyncIterable<Buffer>) {
      bytes += piece.length
      if (bytes > bytesMax + DRAIN_BYTES_MAX) break
      if (bytes > bytesMax) continue
      hash.update(piece)
      lines += countLines(piece)
      last = piece.at(-1) ?? last
      await file.appendFile(piece)
    }
    if (bytes > bytesMax) throw new Problem('body_too_large')
    return {
      hash: hash.digest('hex'),
      lines: last === LF ? lines : lines + 1,
      read: () => file.createReadStream({ start: 0, autoClose: false, highWaterMark: READ_BYTES }),
      close: () => file.close(),
    }
  } catch (error) {
    await file.close()
    if (!isCutOff(error)) throw error
    // Nobody is there to hear the refusal.
    log.info({ event: 'upload.cut_off', bytes })
    throw new Problem('malformed_request', 'The connection ended before the body did.')
  }
}

function countLines(piece: Buffer): number {
  let count = 0
  for (let at = piece.indexOf(LF); at !== -1; at = piece.indexOf(LF, at + 1)) count++
  return count
}

async function openNameless(): Promise<FileHandle> {
  const folder = await mkdtemp(join(tmpdir(), 'reelqueue-upload-'))
  try {
    return await open(join(folder, 'body'), 'wx+', 0o600)
  } finally {
    // The handle outlives the name.
    await rm(folder, { recursive: true })
  }
}

function isCutOff(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'HPE_INVALID_EOF_STATE'
}
