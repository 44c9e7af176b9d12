// Polling by what clips took, beside the ways that others poll, on render times drawn at random: mean lag and requests for each clip.

import { type PollSchedule, scheduleFor, scheduleForKnown } from '@reelqueue/shared/domain/poll-schedule'
import { BUCKETS, bucketOf, NO_RENDER_TIMES, type RenderTimes, withRender } from '@reelqueue/shared/domain/render-times'
import { logNormal as drawLogNormal, mulberry } from './draw.ts'

const SEED = 7
const CLIPS = 2_000
/** Clips that are not counted: every way has begun by then. */
const WARM_UP = 200
/** A schedule is made anew after so many clips. */
const SCHEDULE_EVERY = 20
const S = 1_000
const LIMITS = { intervalMinMs: 2 * S, intervalMaxMs: 3_600 * S }
/** Half of what polling every 30 s leads to, and a little less. */
const LAG_TARGET_MS = 7.3 * S

type Draw = (random: () => number, clip: number) => number

const logNormal =
  (medianS: number, sigma: number): Draw =>
  (random) =>
    drawLogNormal(medianS * S, sigma, random)

/** Medians and spreads as they might be for one model, length and size. */
const DISTRIBUTIONS: Readonly<Record<string, Draw>> = {
  'log-normal': logNormal(180, 0.12),
  bimodal: (random, clip) => (random() < 0.7 ? logNormal(90, 0.1) : logNormal(300, 0.1))(random, clip),
  drifting: (random, clip) =>
    logNormal(120 + 180 * (0.5 - 0.5 * Math.cos((clip / CLIPS) * 2 * Math.PI)), 0.12)(random, clip),
  'heavy-tailed': (random, clip) => {
    const base = logNormal(150, 0.12)(random, clip)
    return random() < 0.1 ? base * Math.min((1 - random()) ** -0.7, 20) : base
  },
}

interface Outcome {
  readonly lagMs: number
  readonly requests: number
}

/** The next poll after one at `elapsedMs`. */
type Next = (elapsedMs: number, clip: number) => number

function play(
  renderMs: readonly number[],
  next: Next,
  learn: (afterMs: number, byMs: number, clip: number) => void = () => undefined,
): Outcome {
  let [lagMs, requests, counted] = [0, 0, 0]
  for (const [clip, length] of renderMs.entries()) {
    let at = 0
    let before = 0
    let polls = 0
    while (at < length) {
      before = at
      at += next(at, clip)
      polls++
    }
    if (clip >= WARM_UP) {
      lagMs += at - length
      requests += polls
      counted++
    }
    // What is seen are the polls, not the end.
    learn(before, at, clip)
  }
  return { lagMs: lagMs / counted, requests: requests / counted }
}

function simulate(draw: Draw, seed: number): Record<string, Outcome> {
  const random = mulberry(seed)
  const renderMs = Array.from({ length: CLIPS }, (_, clip) => draw(random, clip))
  let times: RenderTimes = NO_RENDER_TIMES
  let schedule: PollSchedule | null = null
  const plan = play(
    renderMs,
    (elapsedMs) => schedule?.nextMs(elapsedMs) ?? Math.min(Math.max(elapsedMs / 10, 15 * S), 60 * S),
    (afterMs, byMs, clip) => {
      times = withRender(times, afterMs, byMs)
      if (clip % SCHEDULE_EVERY === 0) schedule = scheduleFor(times, LAG_TARGET_MS, LIMITS)
    },
  )
  return {
    'every 15 s': play(renderMs, () => 15 * S),
    'every 30 s': play(renderMs, () => 30 * S),
    'exponential, 5 s to 60 s': play(renderMs, (elapsedMs) => Math.min(Math.max(elapsedMs / 2, 5 * S), 60 * S)),
    plan,
    oracle: oracleAt(plan.lagMs, renderMs),
  }
}

/** Whoever knows the distribution of this very run, at the same mean lag. */
function oracleAt(lagMs: number, renderMs: readonly number[]): Outcome {
  const counted = renderMs.slice(WARM_UP)
  const probabilities = Array.from({ length: BUCKETS }, () => 0)
  for (const length of counted) {
    const bucket = bucketOf(length)
    probabilities[bucket] = (probabilities[bucket] ?? 0) + 1 / counted.length
  }
  const schedule = scheduleForKnown(probabilities, lagMs, LIMITS)
  return play(renderMs, (elapsedMs) => schedule.nextMs(elapsedMs))
}

/** Prints a table for each distribution. */
export function benchPolling(): void {
  for (const [name, draw] of Object.entries(DISTRIBUTIONS)) {
    console.log(`Render times: ${name}`)
    const rows = Object.entries(simulate(draw, SEED)).map(([way, { lagMs, requests }]) => [
      way,
      { 'mean lag, s': Number((lagMs / S).toFixed(1)), 'requests for each clip': Number(requests.toFixed(1)) },
    ])
    console.table(Object.fromEntries(rows))
  }
}
