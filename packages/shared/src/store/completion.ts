// The end of a rendered generation: status, video, expiry, event and deliveries in one statement.

import type { Status } from '../domain/status.ts'
import type { TerminalAnswer } from '../domain/terminal-answer.ts'
import type { Database } from './database.ts'
import { Prisma } from './generated/client.ts'
import { type Moved, moveGenerations } from './moves.ts'

/** The provider keeps a video for one day. */
const VIDEO_LIFE = Prisma.raw(`interval '24 hours'`)

/**
 * Carries out the terminal answer that waits on the row; does nothing when there is none.
 * The expiry counts from the last poll that saw the task unfinished, so it is never later than the truth.
 */
export async function completeGeneration({ prisma }: Database, id: string): Promise<Moved[]> {
  const [row] = await prisma.$queryRaw<{ status: Status; answer: TerminalAnswer | null }[]>`
    SELECT status::text, answer FROM generations WHERE id = ${id}`
  const answer = row?.answer
  if (!row || !answer) return []
  const guard = Prisma.sql`g.answer IS NOT NULL`
  const cost = answer.cost === null ? null : JSON.stringify(answer.cost)

  if (answer.kind === 'completed') {
    const set = Prisma.sql`video_url = ${answer.videoUrl}, actual_duration = ${answer.actualDuration}::float8, cost = ${cost}::jsonb,
      video_url_expires_at = coalesce(g.last_pending_at, g.submitted_at) + ${VIDEO_LIFE},
      error_code = NULL, error_message = NULL, answer = NULL, due_at = NULL, slot_until = NULL`
    const move = row.status === 'failed' ? 'completeLate' : 'complete'
    return await moveGenerations(prisma, [id], move, { set, guard })
  }

  if (row.status === 'failed') {
    // The deadline had failed it already, and the provider agrees: nobody needs to be told twice.
    await prisma.$executeRaw`
      UPDATE generations SET answer = NULL, due_at = NULL, slot_until = NULL WHERE id = ${id} AND status = 'failed'`
    return []
  }
  const set = Prisma.sql`error_code = ${answer.code}, error_message = ${answer.message}, cost = ${cost}::jsonb,
    answer = NULL, due_at = NULL`
  return await moveGenerations(prisma, [id], 'fail', { set, guard: Prisma.sql`g.status = 'processing' AND ${guard}` })
}
