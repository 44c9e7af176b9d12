// The options of a chaos run, and their form on the command line.

import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'

const BACKENDS = ['postgres', 'redis'] as const

/** How many times as long a storm may last while kills are missing. */
export const OVERTIME = 8

export interface StormOptions {
  readonly backend: (typeof BACKENDS)[number]
  readonly seed: number
  /** How long faults come; a slow machine gets longer (`OVERTIME`) for its kills, and healing comes afterwards. */
  readonly minutes: number
  /** The least number of generations that clients request during the storm. */
  readonly generations: number
  /** The least number of processes killed during the storm. */
  readonly kills: number
}

export const USAGE =
  'Usage: npm run chaos -- [--minutes 10] [--seed N] [--backend redis|postgres|both] [--generations N] [--kills N]'

/** A run for each requested backend. @throws Error saying what is wrong with the arguments */
export function readOptions(args: readonly string[]): StormOptions[] {
  const text = { type: 'string' } as const
  const options = { minutes: text, seed: text, backend: text, generations: text, kills: text }
  const { values } = parseArgs({ args: [...args], options })
  const minutes = positive('--minutes', values.minutes ?? '10')
  const given = {
    minutes,
    seed: values.seed === undefined ? randomInt(2 ** 31) : positive('--seed', values.seed),
    generations: values.generations === undefined ? minutes * 210 : positive('--generations', values.generations),
    kills: values.kills === undefined ? minutes * 22 : positive('--kills', values.kills),
  }
  const { backend = 'both' } = values
  const backends = BACKENDS.filter((known) => backend === 'both' || backend === known)
  if (backends.length === 0) throw new Error('--backend must be redis, postgres or both')
  return backends.map((one) => ({ ...given, backend: one }))
}

function positive(name: string, value: string): number {
  const number = Number(value)
  if (!(number > 0)) throw new Error(`${name} must be a number above 0`)
  return number
}

/** The command for a repetition of the run. */
export function commandOf({ backend, seed, minutes, generations, kills }: StormOptions): string {
  return `npm run chaos -- --backend ${backend} --seed ${seed} --minutes ${minutes} --generations ${generations} --kills ${kills}`
}
