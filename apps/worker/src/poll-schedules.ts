// When to ask about the clips of each kind, by what clips of that kind took: made anew every quarter of a minute where more is known.

import { setImmediate as othersFirst } from 'node:timers/promises'
import { type Kind, nameOf } from '@reelqueue/shared/domain/batch-estimate'
import { type PollSchedule, type ScheduleLimits, scheduleFor } from '@reelqueue/shared/domain/poll-schedule'
import { pause } from '@reelqueue/shared/runtime/clock'
import { readRenderTimes } from '@reelqueue/shared/store/render-stats'
import type { StepDeps } from './deps.ts'

const EVERY_MS = 15_000

export interface PollSchedules {
  /** Null where too little is known of the kind. */
  of(kind: Kind): PollSchedule | null
  /** Reads what is known, and makes the schedules of what has changed. */
  refresh(): Promise<void>
  /** Does so until `signal` aborts; what fails is tried again the next time. */
  refreshForever(signal: AbortSignal): Promise<void>
}

interface Made {
  readonly changedAtMs: number
  readonly schedule: PollSchedule | null
}

/** `limits`: between two polls. */
export function createPollSchedules(
  { database, log }: Pick<StepDeps, 'database' | 'log'>,
  upstream: string,
  limits: ScheduleLimits,
): PollSchedules {
  const made = new Map<string, Made>()

  async function refresh(): Promise<void> {
    for (const { times, changedAt, ...kind } of await readRenderTimes(database, upstream)) {
      const changedAtMs = changedAt.getTime()
      if (made.get(nameOf(kind))?.changedAtMs === changedAtMs) continue
      made.set(nameOf(kind), { changedAtMs, schedule: scheduleFor(times, limits) })
      // Each takes some ms of this process: others go first.
      await othersFirst()
    }
  }

  return {
    of: (kind) => made.get(nameOf(kind))?.schedule ?? null,
    refresh,
    async refreshForever(signal) {
      while (!signal.aborted) {
        try {
          await refresh()
        } catch (error) {
          log.warn({ event: 'schedules.old', err: error })
        }
        await pause(EVERY_MS, signal)
      }
    },
  }
}
