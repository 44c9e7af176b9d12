// All that is random in a chaos run comes from here, and so from its seed. Each part draws from dice of its own: what one
// part draws, and when, moves nothing for another.

import { createHash } from 'node:crypto'
import { seededRandom } from '@reelqueue/simulator/random'

export interface Dice {
  /** From 0 (inclusive) to 1 (exclusive). */
  unit(): number
  /** A whole number, both ends included. */
  whole(min: number, max: number): number
  chance(probability: number): boolean
  pick<T>(list: readonly T[]): T
  /** Each `[weight, value]` as often as its weight says. */
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
