// When a batch is likely to end and what the rest of it is likely to cost, by what clips of the same kinds took and cost of late.
// Pure.

import { estimateWaitMs, type Pace, saysSomething } from './queue-estimate.ts'

/** What decides how long a clip renders and what it costs; null: the provider's default. */
export interface Kind {
  readonly model: string
  readonly seconds: number | null
  readonly size: string | null
}

export interface KindCount extends Kind {
  readonly count: number
}

/** Means over the last clips of a kind. */
export interface KindStats extends Kind {
  readonly renderMs: number
  /** In the provider's own unit; null when it names none. */
  readonly amount: number | null
}

export interface BatchOutlook {
  readonly kinds: readonly KindCount[]
  /** Generations that have not ended. */
  readonly open: number
  /** Of the project, up to the last of the batch: those that wait for a slot. */
  readonly waiting: number
  /** Nothing is admitted: the project is paused, or submitting is. */
  readonly isHeld: boolean
  /** How many may be in flight. */
  readonly slots: number
  /** Of admission while the batch was waiting. */
  readonly pace: Pace
}

export interface BatchEstimate {
  readonly endsInMs: number | null
  readonly amount: number | null
}

/** Either part is null when it cannot be told honestly. */
export function estimateBatch(outlook: BatchOutlook, stats: readonly KindStats[]): BatchEstimate {
  const byKind = new Map(stats.map((one) => [nameOf(one), one]))
  const total = outlook.kinds.reduce((sum, { count }) => sum + count, 0)
  /** Over all items of the batch; null unless each kind is known. */
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
  // Before there is a pace: as if the slots were all the project's.
  const waitMs = saysSomething(pace) ? estimateWaitMs(waiting - 1, pace) : Math.floor((waiting - 1) / slots) * renderMs
  return waitMs === null ? null : Math.round(waitMs + renderMs)
}

/** The same for the same kind, and for no other. */
export const nameOf = ({ model, seconds, size }: Kind) => `${model} ${seconds ?? 0} ${size ?? ''}`

/** Sums of decimal fractions, without their noise. */
const round = (amount: number) => Math.round(amount * 1e6) / 1e6

/** Counts what is asked for, kind by kind. */
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
