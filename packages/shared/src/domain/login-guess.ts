// How long wrong passwords of the operator pages make the next one wait. From one address the wait begins early and grows; for
// the one login as a whole it begins late and stays short, or a stranger with many addresses could lock the operator out.

export interface GuessLimit {
  /** `waitsMs[n]`: how long nothing is compared after wrong password number n+1; the last holds for all that follow. */
  readonly waitsMs: readonly number[]
  /** After this long without a wrong password they count from one again. */
  readonly forgottenMs: number
}

const MINUTE_MS = 60_000

export const ADDRESS_LIMIT: GuessLimit = {
  waitsMs: [...noWait(9), ...doubling(MINUTE_MS, 15 * MINUTE_MS)],
  forgottenMs: 60 * MINUTE_MS,
}

/** Everybody's wrong passwords together. One address alone stays below: it waits for ever longer itself. */
export const NAME_LIMIT: GuessLimit = {
  waitsMs: [...noWait(99), ...doubling(1_000, MINUTE_MS)],
  forgottenMs: 10 * MINUTE_MS,
}

function noWait(count: number): number[] {
  return Array.from({ length: count }, () => 0)
}

/** From the first to the last, each twice the one before it. */
function doubling(firstMs: number, lastMs: number): number[] {
  return firstMs >= lastMs ? [lastMs] : [firstMs, ...doubling(firstMs * 2, lastMs)]
}
