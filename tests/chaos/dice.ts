// The only source of randomness in a chaos run, derived from its seed. Each part has separate dice: the draws of a part do not change the
// draws of another part.

import { createHash } from 'node:crypto'
import { seededRandom } from '@reelqueue/simulator/random'

export interface Dice {
  /** From 0 (inclusive) to 1 (exclusive). */
  unit(): number
  /** A whole number, both ends included. */
  whole(min: number, max: number): number
  chance(probability: number): boolean
  pick<T>(list: readonly T[]): T
  /** Picks each `[weight, value]` in proportion to its weight. */
  weighted<T>(list: readonly (readonly [number, T])[]): T
}

export function diceOf(seed: number, part: string): Dice {
  const random = seededRandom(createHash('sha256').update(`${seed} ${part}`).digest().readUInt32LE())
  const pick = <T>(list: readonly T[]): T => {
    const picked = list[Math.floor(random() * list.length)]
    if (picked === undefined) throw new Error('nothing to pick from')
    return picked
  }
  return {
    unit: random,
    whole: (min, max) => min + Math.floor(random() * (max - min + 1)),
    chance: (probability) => random() < probability,
    pick,
    weighted(list) {
      let left = random() * list.reduce((sum, [weight]) => sum + weight, 0)
      for (const [weight, value] of list) {
        left -= weight
        if (left < 0) return value
      }
      return pick(list)[1]
    },
  }
}
