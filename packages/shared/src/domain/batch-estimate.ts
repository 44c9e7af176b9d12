// The likely end of a batch and the likely cost of its rest, from recent times and costs of the same render profiles.
// Pure.

import { estimateWaitMs, type Pace, saysSomething } from './queue-estimate.ts'

/** A render profile: the fields that decide a clip's render time and cost; null: the provider's default. */
export interface Kind {
  readonly model: string
  readonly seconds: number | null
  readonly size: string | null
}

export interface KindCount extends Kind {
  readonly count: number
}

/** Means over the last clips of a profile. */
export interface KindStats extends Kind {
  readonly renderMs: number
  /** In the provider's own unit; null when the provider names no cost. */
  readonly amount: number | null
}

export interface BatchOutlook {
  readonly kinds: readonly KindCount[]
  /** Generations that have not ended. */
  readonly open: number
  /** Generations of the project that wait for a slot, up to the last generation of the batch. */
  readonly waiting: number
  /** Nothing is admitted: the project is paused, or submitting is paused. */
  readonly isHeld: boolean
  /** The maximum number of generations in flight. */
  readonly slots: number
  /** The admission rate while the batch was waiting. */
  readonly pace: Pace
}

export interface BatchEstimate {
  readonly endsInMs: number | null
  readonly amount: number | null
}

/** Either part is null when an honest estimate is impossible. */
export function estimateBatch(outlook: BatchOutlook, stats: readonly KindStats[]): BatchEstimate {
  const byKind = new Map(stats.map((one) => [nameOf(one), one]))
  const total = outlook.kinds.reduce((sum, { count }) => sum + count, 0)
  /** The mean over all items of the batch; null unless every profile is known. */
  const meanOf = (value: (stats: KindStats) => number | null): number | null => {
    let sum = 0
    for (const kind of outlook.kinds) {
      const known = byKind.get(nameOf(kind))
      const each = known ? value(known) : null
      if (each === null) return null
      sum += each * kind.count
    }
    return total === 0 ? null : sum / total
  }
  const renderMs = meanOf((one) => one.renderMs)
  const amountEach = meanOf((one) => one.amount)
  return {
    endsInMs: renderMs === null ? null : endsInMs(outlook, renderMs),
    amount: amountEach === null ? null : round(amountEach * outlook.open),
  }
}

function endsInMs({ waiting, isHeld, slots, pace }: BatchOutlook, renderMs: number): number | null {
  if (waiting === 0) return Math.round(renderMs)
  if (isHeld) return null
  // Without an admission rate: as if the project had all slots.
  const waitMs = saysSomething(pace) ? estimateWaitMs(waiting - 1, pace) : Math.floor((waiting - 1) / slots) * renderMs
  return waitMs === null ? null : Math.round(waitMs + renderMs)
}

/** The same text for the same profile, and for no other profile. */
export const nameOf = ({ model, seconds, size }: Kind) => `${model} ${seconds ?? 0} ${size ?? ''}`

/** Removes the noise from sums of decimal fractions. */
const round = (amount: number) => Math.round(amount * 1e6) / 1e6

/** Counts requests by render profile. */
export function createKindCounter() {
  const counts = new Map<string, { kind: Kind; count: number }>()
  return {
    add({ model, seconds, size }: Kind): void {
      const kind = { model, seconds, size }
      const known = counts.get(nameOf(kind))
      if (known) known.count++
      else counts.set(nameOf(kind), { kind, count: 1 })
    },
    kinds: (): KindCount[] => [...counts.values()].map(({ kind, count }) => ({ ...kind, count })),
  }
}
