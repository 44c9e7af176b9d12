// The difference between this machine's clock and the database's clock, and whether the difference matters. Deadlines
// and claims use the database's clock. BullMQ's delayed jobs, the pollers, and the time in a webhook's signature use
// this machine's clock.

import { type Finding, fine } from './finding.ts'

/** One question to the database's clock, in milliseconds since 1970. */
export interface ClockSample {
  readonly askedAtMs: number
  readonly databaseMs: number
  readonly answeredAtMs: number
}

const WARNING_MS = 2_000
const WRONG_MS = 30_000

/**
 * How far this machine's clock is ahead of the database's; 0 without samples. The quickest answer counts, because its
 * error is the smallest. The database is assumed to have read its clock halfway through the round trip.
 */
export function clockDifferenceMs(samples: readonly ClockSample[]): number {
  const [quickest] = [...samples].sort((a, b) => tripMs(a) - tripMs(b))
  return quickest === undefined ? 0 : quickest.askedAtMs + tripMs(quickest) / 2 - quickest.databaseMs
}

function tripMs({ askedAtMs, answeredAtMs }: ClockSample): number {
  return answeredAtMs - askedAtMs
}

export function clockFinding(differenceMs: number): Finding {
  const check = 'clock'
  const size = Math.abs(differenceMs)
  if (size <= WARNING_MS) return fine(check, `within ${Math.ceil(size)} ms of the database's`)
  const isWrong = size > WRONG_MS
  return {
    check,
    level: isWrong ? 'wrong' : 'warning',
    detail: `this machine's clock is ${(size / 1_000).toFixed(1)} s ${differenceMs > 0 ? 'ahead of' : 'behind'} the database's: ${
      isWrong ? 'delayed jobs would run at wrong times and receivers refuse webhooks' : 'delayed jobs run early or late'
    }`,
    fix: 'Have both machines keep their time by NTP (systemd-timesyncd or chrony; `timedatectl` shows whether they do).',
  }
}
