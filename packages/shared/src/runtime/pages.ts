// Pages of work in the background: how many run at once, and how many rows a page has. Pages are to take about as long as each other,
// whatever their rows cost: a page holds a connection and a turn, and others wait for both.

import { type FairTurns, fairTurns } from './fair-turns.ts'

/** Of one process. A project has one page at once, so that it leaves the other one to others. */
const PAGES = { max: 2, maxPerKey: 1, waitingMaxPerKey: 1_000, waitMaxMs: 600_000 }

/** The turns that all pages of a process take. */
export const pageTurns = (): FairTurns => fairTurns(PAGES)

export const ROWS_FIRST = 100
const ROWS_MAX = 1_000
/** A page that took longer makes the next one smaller, a shorter one larger. */
const PAGE_MAX_MS = 300

/** The size of the page after one of `rows` rows that took `tookMs`. */
export function nextPageSize(rows: number, tookMs: number): number {
  if (tookMs > PAGE_MAX_MS) return Math.ceil(rows / 2)
  return tookMs < PAGE_MAX_MS / 3 ? Math.min(ROWS_MAX, rows * 2) : rows
}
