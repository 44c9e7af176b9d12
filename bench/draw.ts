// Random numbers repeatable by a seed, and a distribution drawn with them.

/** From 0 (inclusive) to 1 (exclusive), the same for the same seed (mulberry32). */
export function mulberry(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Two uniform numbers make a normal number (Box and Muller). */
const normal = (random: () => number) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

/** A number whose logarithm is normal: half of the numbers are below `median`, two thirds within a factor of exp(`sigma`). */
export function logNormal(median: number, sigma: number, random: () => number): number {
  return median * Math.exp(sigma * normal(random))
}
