// Lets many callers share what is costly to find out.

const LOOKS_PER_SECOND_MAX = 10

/**
 * Callers at the same moment share a look, and so do those beyond ten looks a second. A caller who asks rarely is told how it is now.
 * @param clock milliseconds that only go forward
 */
export function shareLooks<T>(look: () => Promise<T>, clock = () => performance.now()): () => Promise<T> {
  let last: Promise<T> | undefined
  let isLooking = false
  let startedAt: number[] = []
  return () => {
    const now = clock()
    startedAt = startedAt.filter((at) => now - at < 1_000)
    if (last && (isLooking || startedAt.length >= LOOKS_PER_SECOND_MAX)) return last
    startedAt.push(now)
    isLooking = true
    last = look().finally(() => {
      isLooking = false
    })
    return last
  }
}
