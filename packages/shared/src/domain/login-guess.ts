// How long wrong passwords delay the next login of an operator. For one address the wait begins early and grows. For
// the login as a whole the wait begins late and stays short; otherwise a stranger with many addresses could lock the
// operator out.

export interface GuessLimit {
  /**
   * `waitsMs[n]`: how long no password is compared after wrong password number n+1. The last wait holds for all later
   * wrong passwords.
   */
  readonly waitsMs: readonly number[]
  /** After this long without a wrong password, counting starts from one again. */
  readonly purgedAfterMs: number
}

const MINUTE_MS = 60_000

export const ADDRESS_LIMIT: GuessLimit = {
  waitsMs: [...noWait(9), ...doubling(MINUTE_MS, 15 * MINUTE_MS)],
  purgedAfterMs: 60 * MINUTE_MS,
}

/** Wrong passwords of all addresses together. One address alone stays below this limit, because its own wait grows. */
export const NAME_LIMIT: GuessLimit = {
  waitsMs: [...noWait(99), ...doubling(1_000, MINUTE_MS)],
  purgedAfterMs: 10 * MINUTE_MS,
}

function noWait(count: number): number[] {
  return Array.from({ length: count }, () => 0)
}

/** From the first wait to the last, each twice the wait before. */
function doubling(firstMs: number, lastMs: number): number[] {
  return firstMs >= lastMs ? [lastMs] : [firstMs, ...doubling(firstMs * 2, lastMs)]
}
