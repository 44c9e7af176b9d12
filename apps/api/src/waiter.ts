// Long polls: all requests that wait share one small query, so that a thousand of them cost what one does.

export interface Waiter {
  /** Resolves when the generation has ended, when `timeoutMs` are over, or when `signal` aborts; tells nothing. */
  wait(id: string, timeoutMs: number, signal: AbortSignal): Promise<void>
  /** Lets everyone go, at once and from now on. */
  close(): void
}

const INTERVAL_MS = 250

/** @param endedAmong those of the ids whose generations have ended */
export function createWaiter(
  endedAmong: (ids: readonly string[]) => Promise<string[]>,
  onError: (error: unknown) => void,
): Waiter {
  const waiting = new Map<string, Set<() => void>>()
  let timer: NodeJS.Timeout | undefined
  let closed = false

  function release(id: string): void {
    for (const resolve of waiting.get(id) ?? []) resolve()
  }

  async function look(): Promise<void> {
    try {
      for (const id of await endedAmong([...waiting.keys()])) release(id)
    } catch (error) {
      onError(error)
    }
    schedule()
  }

  function schedule(): void {
    timer = waiting.size > 0 && !closed ? setTimeout(look, INTERVAL_MS) : undefined
  }

  return {
    wait(id, timeoutMs, signal) {
      if (closed || signal.aborted) return Promise.resolve()
      return new Promise((resolve) => {
        const done = () => {
          clearTimeout(timeout)
          signal.removeEventListener('abort', done)
          const others = waiting.get(id)
          others?.delete(done)
          if (others?.size === 0) waiting.delete(id)
          resolve()
        }
        const timeout = setTimeout(done, timeoutMs)
        signal.addEventListener('abort', done)
        const others = waiting.get(id)
        if (others) others.add(done)
        else waiting.set(id, new Set([done]))
        if (!timer) schedule()
      })
    },
    close() {
      closed = true
      clearTimeout(timer)
      for (const id of [...waiting.keys()]) release(id)
    },
  }
}
