// Lets many callers share an expensive look.

/** Looks saved up while there are no callers: a rare caller gets the present state, not the state of a second ago. */
export const LOOKS_SAVED_MAX = 10
export const LOOKS_PER_SECOND = 1

/**
 * Simultaneous callers share a look. For any number of callers there is one look a second, after the ten saved looks
 * are used; between two looks callers get the last result.
 * @param clock monotonic milliseconds
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
