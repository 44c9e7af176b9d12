// Bounds how many actions run at a time; further callers wait in order.

/** Runs `act` in its turn, and resolves to the result of `act`. */
export type Turns = <T>(act: () => Promise<T>) => Promise<T>

/** @returns a function that runs `act` while fewer than `max` actions run */
export function takeTurns(max: number): Turns {
  let running = 0
  const waiting: (() => void)[] = []
  return async (act) => {
    if (running >= max) await new Promise<void>((resolve) => waiting.push(resolve))
    else running += 1
    try {
      return await act()
    } finally {
      // The turn passes directly to the next caller: a new caller cannot slip in between.
      const next = waiting.shift()
      if (next) next()
      else running -= 1
    }
  }
}
