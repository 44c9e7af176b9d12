// Keeps an upload in a file without a name: a slow client holds no transaction open, a large body does not fill the
// memory, and a crashed process leaves no file behind.

import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { Problem } from '@reelqueue/contract/terms/problem'
import type { Logger } from '@reelqueue/shared/runtime/log'

/** An upload ends after this long without a byte. The limit for the whole request is `REQUEST_MAX_MS` (app.ts). */
export const UPLOAD_IDLE_MAX_MS = 30_000
/** Small pieces: all items of a piece are checked in the same turn of the event loop. */
const READ_BYTES = 64 * 1024

export interface Upload {
  /** Reads the bytes again from the start. */
  read(): AsyncIterable<Buffer>
  close(): Promise<void>
}

/**
 * Receives a body of at most `bytesMax`.
 * @param watch receives each piece; an error thrown by `watch` ends the upload
 * @throws Problem `body_too_large`, `request_timeout` after half a minute without a byte, or `malformed_request` when
 * the client disconnects early
 */
export async function receiveUpload(
  body: Readable,
  bytesMax: number,
  watch: (piece: Buffer) => void,
  log: Logger,
): Promise<Upload> {
  const file = await openNameless()
  let bytes = 0
  try {
    for await (const piece of untilIdle(body)) {
      bytes += piece.length
      if (bytes > bytesMax) throw new Problem('body_too_large')
      watch(piece)
      await file.appendFile(piece)
    }
    return {
      read: () => file.createReadStream({ start: 0, autoClose: false, highWaterMark: READ_BYTES }),
      close: () => file.close(),
    }
  } catch (error) {
    await file.close()
    if (!isCutOff(error)) throw error
    // The client is gone, so only the log shows the refusal.
    log.info({ event: 'upload.cut_off', bytes })
    throw new Problem('malformed_request', 'The connection ended before the body did.')
  }
}

/**
 * The pieces of a body. Returning early leaves the connection open: the client must be able to read the refusal
 * (unread-bodies.ts).
 */
async function* untilIdle(body: Readable): AsyncGenerator<Buffer> {
  const pieces: AsyncIterator<Buffer> = body.iterator({ destroyOnReturn: false })
  let giveUp: (error: Problem) => void = () => undefined
  const timer = setTimeout(() => giveUp(new Problem('request_timeout')), UPLOAD_IDLE_MAX_MS)
  // A new promise for each piece: racing against a single long-lived promise would keep every piece in memory.
  const nextOf = () =>
    new Promise<IteratorResult<Buffer>>((resolve, reject) => {
      giveUp = reject
      pieces.next().then(resolve, reject)
    })
  try {
    for (let next = await nextOf(); !next.done; next = await nextOf()) {
      yield next.value
      timer.refresh()
    }
  } finally {
    clearTimeout(timer)
  }
}

async function openNameless(): Promise<FileHandle> {
  const folder = await mkdtemp(join(tmpdir(), 'reelqueue-upload-'))
  try {
    return await open(join(folder, 'body'), 'wx+', 0o600)
  } finally {
    // The open handle still works after the removal.
    await rm(folder, { recursive: true })
  }
}

function isCutOff(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'HPE_INVALID_EOF_STATE'
}
