// Lets a few do something at a time; the others wait for their turn, in their order.

/** Runs `act` when its turn has come; answers what it answers. */
export type Turns = <T>(act: () => Promise<T>) => Promise<T>

/** @returns what runs `act` when fewer than `max` are running */
export function takeTurns(max: number): Turns {
  let running = 0
  const waiting: (() => void)[] = []
  return async (act) => {
    if (running >= max) await new Promise<void>((resolve) => waiting.push(resolve))
    else running += 1
    try {
      return await act()
    } finally {
      // The turn is handed on, not given back: nobody can come between.
      const next = waiting.shift()
      if (next) next()
      else running -= 1
    }
  }
}
