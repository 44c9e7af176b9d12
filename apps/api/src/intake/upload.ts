// An upload on its way to the database: kept in a file that has no name, so that neither a slow client holds a transaction
// open nor a large body fills the memory, and nothing is left behind by a process that dies.

import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { Problem } from '@reelqueue/shared/domain/problem'
import type { Logger } from '@reelqueue/shared/runtime/log'

/** A client that sends nothing for this long is given up. How long the whole may take: `REQUEST_MAX_MS` (app.ts). */
export const UPLOAD_IDLE_MAX_MS = 30_000
/** Small: the items of one piece are checked in one turn of the event loop. */
const READ_BYTES = 64 * 1024

export interface Upload {
  /** The bytes again, from the first. */
  read(): AsyncIterable<Buffer>
  close(): Promise<void>
}

/**
 * Takes a body of at most `bytesMax`.
 * @param watch sees each piece as it comes; what it throws ends the upload
 * @throws Problem `body_too_large`, `request_timeout` when nothing comes for half a minute, or `malformed_request` when the client goes
 * away before the end
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
    // Nobody is there to hear the refusal.
    log.info({ event: 'upload.cut_off', bytes })
    throw new Problem('malformed_request', 'The connection ended before the body did.')
  }
}

/** The pieces of a body. Leaving it early leaves the connection open: the client must be able to read why (unread-bodies.ts). */
async function* untilIdle(body: Readable): AsyncGenerator<Buffer> {
  const pieces: AsyncIterator<Buffer> = body.iterator({ destroyOnReturn: false })
  let giveUp: (error: Problem) => void = () => undefined
  const timer = setTimeout(() => giveUp(new Problem('request_timeout')), UPLOAD_IDLE_MAX_MS)
  // A promise for each piece: one for all would keep every piece that was raced against it.
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
    // The handle outlives the name.
    await rm(folder, { recursive: true })
  }
}

function isCutOff(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'HPE_INVALID_EOF_STATE'
}
