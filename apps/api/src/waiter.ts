// Long polls: all waiting requests share a single small query, so a thousand requests cost as much as one. The number
// of waiting requests is bounded, for each project and in total.

import { NoTurn } from '@reelqueue/shared/runtime/fair-turns'

export interface Waiter {
  /**
   * Resolves when the generation has ended, after `timeoutMs`, when `signal` aborts, or when another project needs the
   * place; returns no reason.
   * @throws NoTurn when the project has reached the limit
   */
  wait(projectId: string, id: string, timeoutMs: number, signal: AbortSignal): Promise<void>
  /** Releases all waiting requests; later waits return at once. */
  close(): void
}

export const WAITS_MAX = 5_000
export const WAITS_PER_PROJECT_MAX = 1_000
const INTERVAL_MS = 250

/** @param endedAmong returns the ids with an ended generation */
export function createWaiter(
  endedAmong: (ids: readonly string[]) => Promise<string[]>,
  onError: (error: unknown) => void,
): Waiter {
  const waiting = new Map<string, Set<() => void>>()
  /** The same waits by project, oldest first. */
  const ofProjects = new Map<string, Set<() => void>>()
  let count = 0
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

  /** When all places are taken, the project with the most waits gives up the oldest wait. */
  function makeRoom(projectId: string): void {
    const own = ofProjects.get(projectId)?.size ?? 0
    if (own >= WAITS_PER_PROJECT_MAX) throw new NoTurn(true)
    if (count < WAITS_MAX) return
    const [most] = [...ofProjects.values()].sort((one, other) => other.size - one.size)
    if (!most || most.size <= own) throw new NoTurn(true)
    const [oldest] = most
    oldest?.()
  }

  return {
    async wait(projectId, id, timeoutMs, signal) {
      if (closed || signal.aborted) return
      makeRoom(projectId)
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timeout)
          signal.removeEventListener('abort', done)
          leave(waiting, id, done)
          leave(ofProjects, projectId, done)
          count -= 1
          resolve()
        }
        const timeout = setTimeout(done, timeoutMs)
        signal.addEventListener('abort', done)
        join(waiting, id, done)
        join(ofProjects, projectId, done)
        count += 1
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

function join(sets: Map<string, Set<() => void>>, key: string, one: () => void): void {
  const set = sets.get(key)
  if (set) set.add(one)
  else sets.set(key, new Set([one]))
}

function leave(sets: Map<string, Set<() => void>>, key: string, one: () => void): void {
  const set = sets.get(key)
  set?.delete(one)
  if (set?.size === 0) sets.delete(key)
}
