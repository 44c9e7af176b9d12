// Lets many callers share what is costly to find out.

/** Looks that are saved up while nobody asks: who asks rarely is told how it is now, not how it was a second ago. */
export const LOOKS_SAVED_MAX = 10
export const LOOKS_PER_SECOND = 1

/**
 * Callers at the same moment share a look. However many ask and for however long, there is one look a second, after the ten that were
 * saved up; between two looks callers hear the last one.
 * @param clock milliseconds that only go forward
 */
export function shareLooks<T>(look: () => Promise<T>, clock = () => performance.now()): () => Promise<T> {
  let last: Promise<T> | undefined
  let isLooking = false
  let saved = LOOKS_SAVED_MAX
  let savedAt = clock()
  return () => {
    const now = clock()
    saved = Math.min(LOOKS_SAVED_MAX, saved + ((now - savedAt) / 1_000) * LOOKS_PER_SECOND)
    savedAt = now
    if (last && (isLooking || saved < 1)) return last
    saved -= 1
    isLooking = true
    last = look().finally(() => {
      isLooking = false
    })
    return last
  }
}
