// A short storm on each backend. `npm run chaos` makes long storms: CONTRIBUTING.md explains how to repeat a failure.

import { describe, expect, it } from 'vitest'
import { BACKENDS } from '../support/pipeline.ts'
import { killsOf, summaryOf } from './report.ts'
import { runStorm } from './storm.ts'

const SEED = 20_261_125
const GENERATIONS = 60
const KILLS = 8

describe.each(BACKENDS)('a storm on %s', (backend) => {
  it('loses nothing, pays nothing twice, and its webhooks match the history', {
    timeout: 600_000,
  }, async () => {
    const options = { backend, seed: SEED, minutes: 0.3, generations: GENERATIONS, kills: KILLS }
    const report = await runStorm(options, () => undefined)
    console.log(summaryOf(report))
    expect(report.violations, summaryOf(report)).toEqual([])
    expect(report.evidence.generations.length).toBeGreaterThanOrEqual(GENERATIONS)
    expect(killsOf(report.evidence).total).toBeGreaterThanOrEqual(KILLS)
  })
})
