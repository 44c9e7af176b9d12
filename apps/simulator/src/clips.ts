// The MP4 files behind `video_url`: seven small clips, read once and kept in memory (about 350 KB).
import { readFileSync } from 'node:fs'
import type { Task } from './tasks.ts'

const ODD_CLIP = '1256x720-4'
const CLIPS = ['720x1280-4', '720x1280-8', '720x1280-12', '1280x720-4', '1280x720-8', '1280x720-12', ODD_CLIP]

export type Clips = ReadonlyMap<string, Buffer>

/** Reads all clips. Throws when a clip is missing from `assets/`. */
export function loadClips(): Clips {
  return new Map(CLIPS.map((name) => [name, readFileSync(new URL(`../assets/${name}.mp4`, import.meta.url))]))
}

/** The name of a task's clip. */
export function clipOf(task: Task): string {
  return task.behaviour.oddSize ? ODD_CLIP : `${task.size}-${task.seconds}`
}

/** Bytes `start` to `end`, both inclusive. */
interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * Reads a `Range` header for a file of `size` bytes. Null: send the whole file (no header, several ranges, or an invalid header);
 * `unsatisfiable`: answer 416.
 */
export function readRange(header: string | undefined, size: number): ByteRange | 'unsatisfiable' | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  if (match === null) return null
  const [, first = '', last = ''] = match
  if (first === '' && last === '') return null
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (start >= size) return 'unsatisfiable'
  return start > end ? null : { start, end }
}
