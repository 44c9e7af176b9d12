// Poll schedules of each render profile, from recorded render times: recomputed every 15 s where the data has changed.

import { setImmediate as othersFirst } from 'node:timers/promises'
import { nameOf, type RenderProfile } from '@reelqueue/shared/domain/batch-estimate'
import { type PollSchedule, type ScheduleLimits, scheduleFor } from '@reelqueue/shared/domain/poll-schedule'
import { pause } from '@reelqueue/shared/runtime/clock'
import { readRenderTimes } from '@reelqueue/shared/store/lifecycle/render-stats'
import type { StepDeps } from './deps.ts'

const EVERY_MS = 15_000

export interface PollSchedules {
  /** Null with too little data about the profile. */
  of(profile: RenderProfile): PollSchedule | null
  /** Reads the render times, and recomputes the changed schedules. */
  refresh(): Promise<void>
  /** Refreshes until `signal` aborts; a failed refresh is repeated at the next interval. */
  refreshForever(signal: AbortSignal): Promise<void>
}

interface Made {
  readonly changedAtMs: number
  readonly schedule: PollSchedule | null
}

/** `limits`: shortest and longest time between two polls. */
export function createPollSchedules(
  { database, log }: Pick<StepDeps, 'database' | 'log'>,
  upstream: string,
  limits: ScheduleLimits,
): PollSchedules {
  const made = new Map<string, Made>()

  async function refresh(): Promise<void> {
    for (const { times, changedAt, ...profile } of await readRenderTimes(database, upstream)) {
      const changedAtMs = changedAt.getTime()
      if (made.get(nameOf(profile))?.changedAtMs === changedAtMs) continue
      made.set(nameOf(profile), { changedAtMs, schedule: scheduleFor(times, limits) })
      // A schedule takes some ms of CPU, so other work of the process goes first.
      await othersFirst()
    }
  }

  return {
    of: (profile) => made.get(nameOf(profile))?.schedule ?? null,
    refresh,
    async refreshForever(signal) {
      while (!signal.aborted) {
        try {
          await refresh()
        } catch (error) {
          log.warn({ event: 'poll_schedules.stale', err: error })
        }
        await pause(EVERY_MS, signal)
      }
    },
  }
}
