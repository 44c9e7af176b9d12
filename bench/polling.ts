// `npm run bench -- --polling`: the simulation of polling by learned render times, as tables and as a picture.

import { writeFile } from 'node:fs/promises'
import { plotPolling } from './poll-plot.ts'
import { type Comparison, compare, DISTRIBUTIONS, rendersOf } from './poll-simulation.ts'

const SEED = 7

/** The outcome of every way of polling, on each distribution. */
export const simulatePolling = (): Record<string, Comparison> =>
  Object.fromEntries(Object.entries(DISTRIBUTIONS).map(([name, draw]) => [name, compare(rendersOf(draw, SEED))]))

/** Prints a table for each distribution. @param plot the path of the picture; undefined: no picture */
export async function benchPolling(plot: string | undefined): Promise<void> {
  for (const [name, ways] of Object.entries(simulatePolling())) {
    console.log(`Render times: ${name}`)
    const rows = Object.entries(ways).map(([way, { lagMs, requests }]) => [
      way,
      { 'mean lag, s': Number((lagMs / 1_000).toFixed(1)), 'requests for each clip': Number(requests.toFixed(1)) },
    ])
    console.table(Object.fromEntries(rows))
  }
  if (plot !== undefined) await writeFile(plot, plotPolling(SEED))
}
