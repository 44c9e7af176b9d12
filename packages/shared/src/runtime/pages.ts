// Pages of background work: how many pages run at once, and how many rows a page has. All pages should take about the same time,
// whatever their rows cost: a page holds a connection and a turn, and other work waits for both.

import { type FairTurns, fairTurns } from './fair-turns.ts'

/** Bounds of one process. A project runs one page at a time, so that the second turn is left to the other projects. */
const PAGES = { max: 2, maxPerKey: 1, waitingMaxPerKey: 1_000, waitMaxMs: 600_000 }

/** The turns shared by all pages of a process. */
export const pageTurns = (): FairTurns => fairTurns(PAGES)

export const ROWS_FIRST = 100
const ROWS_MAX = 1_000
/** A page slower than this halves the next page; a page faster than a third of this doubles the next page. */
const PAGE_MAX_MS = 300

/** The size of the next page, after a page of `rows` rows took `tookMs`. */
export function nextPageSize(rows: number, tookMs: number): number {
  if (tookMs > PAGE_MAX_MS) return Math.ceil(rows / 2)
  return tookMs < PAGE_MAX_MS / 3 ? Math.min(ROWS_MAX, rows * 2) : rows
}
