// The likely end of a batch and the likely cost of its rest, from recent times and costs of the same render profiles.
// Pure.

import { type AdmissionRate, estimateWaitMs, hasEnoughData } from './queue-estimate.ts'

/** A render profile: the fields that decide a clip's render time and cost; null: the provider's default. */
export interface RenderProfile {
  readonly model: string
  readonly seconds: number | null
  readonly size: string | null
}

export interface ProfileCount extends RenderProfile {
  readonly count: number
}

/** Means over the last clips of a profile. */
export interface ProfileStats extends RenderProfile {
  readonly renderMs: number
  /** In the provider's own unit; null when the provider names no cost. */
  readonly amount: number | null
}

export interface EstimateInput {
  readonly profiles: readonly ProfileCount[]
  /** Generations that have not ended. */
  readonly open: number
  /** Generations of the project that wait for a slot, up to the last generation of the batch. */
  readonly waiting: number
  /** Nothing is admitted: the project is paused, or submitting is paused. */
  readonly isHeld: boolean
  /** The maximum number of generations in flight. */
  readonly slots: number
  /** The admission rate while the batch was waiting. */
  readonly rate: AdmissionRate
}

export interface BatchEstimate {
  readonly endsInMs: number | null
  readonly amount: number | null
}

/** Either part is null when an honest estimate is impossible. */
export function estimateBatch(input: EstimateInput, stats: readonly ProfileStats[]): BatchEstimate {
  const byProfile = new Map(stats.map((one) => [nameOf(one), one]))
  const total = input.profiles.reduce((sum, { count }) => sum + count, 0)
  /** The mean over all items of the batch; null unless every profile is known. */
  const meanOf = (value: (stats: ProfileStats) => number | null): number | null => {
    let sum = 0
    for (const profile of input.profiles) {
      const known = byProfile.get(nameOf(profile))
      const each = known ? value(known) : null
      if (each === null) return null
      sum += each * profile.count
    }
    return total === 0 ? null : sum / total
  }
  const renderMs = meanOf((one) => one.renderMs)
  const amountEach = meanOf((one) => one.amount)
  return {
    endsInMs: renderMs === null ? null : endsInMs(input, renderMs),
    amount: amountEach === null ? null : round(amountEach * input.open),
  }
}

function endsInMs({ waiting, isHeld, slots, rate }: EstimateInput, renderMs: number): number | null {
  if (waiting === 0) return Math.round(renderMs)
  if (isHeld) return null
  // Without an admission rate: as if the project had all slots.
  const waitMs = hasEnoughData(rate) ? estimateWaitMs(waiting - 1, rate) : Math.floor((waiting - 1) / slots) * renderMs
  return waitMs === null ? null : Math.round(waitMs + renderMs)
}

/** The same text for the same profile, and for no other profile. */
export const nameOf = ({ model, seconds, size }: RenderProfile) => `${model} ${seconds ?? 0} ${size ?? ''}`

/** Removes the noise from sums of decimal fractions. */
const round = (amount: number) => Math.round(amount * 1e6) / 1e6

/** Counts requests by render profile. */
export function createProfileCounter() {
  const counts = new Map<string, { profile: RenderProfile; count: number }>()
  return {
    add({ model, seconds, size }: RenderProfile): void {
      const profile = { model, seconds, size }
      const known = counts.get(nameOf(profile))
      if (known) known.count++
      else counts.set(nameOf(profile), { profile, count: 1 })
    },
    profiles: (): ProfileCount[] => [...counts.values()].map(({ profile, count }) => ({ ...profile, count })),
  }
}
