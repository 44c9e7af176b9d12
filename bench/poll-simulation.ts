// Reelqueue's learned polling beside common ways of polling, on random render times: mean lag and requests for each clip.

import { firstPollMs, nextPollMs, pollLimits } from '@reelqueue/shared/domain/poll-plan'
import { type PollSchedule, scheduleFor, scheduleForKnown } from '@reelqueue/shared/domain/poll-schedule'
import {
  BUCKETS,
  bucketOf,
  clipsFor,
  NO_RENDER_TIMES,
  type RenderTimes,
  withRender,
} from '@reelqueue/shared/domain/render-times'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { logNormal as drawLogNormal, mulberry } from './draw.ts'

const S = 1_000
export const CLIPS = 2_000
/** Clips excluded from the means: by then every way of polling has started up. */
export const WARM_UP = 200
/** The schedule is recomputed after this many clips. */
const SCHEDULE_EVERY = 20
/** The limits of the product with its default configuration. */
const LIMITS = pollLimits(undefined, undefined, 7_200 * S, CONFIGURED.facts)

/** How long clip number `clip` renders, in ms. */
export type Draw = (random: () => number, clip: number) => number

const logNormal =
  (medianS: number, sigma: number): Draw =>
  (random) =>
    drawLogNormal(medianS * S, sigma, random)

/** Plausible medians and spreads for a single model, length and size. */
export const DISTRIBUTIONS: Readonly<Record<string, Draw>> = {
  'log-normal, median 180 s, sigma 0.10': logNormal(180, 0.1),
  'bimodal: 150 s or, for three in ten, 360 s; sigma 0.05': (random, clip) =>
    (random() < 0.7 ? logNormal(150, 0.05) : logNormal(360, 0.05))(random, clip),
  'drifting between 150 s and 270 s, sigma 0.10': (random, clip) =>
    logNormal(150 + 120 * (0.5 - 0.5 * Math.cos((clip / CLIPS) * 2 * Math.PI)), 0.1)(random, clip),
  'heavy-tailed: 150 s, sigma 0.06; one in ten longer, up to twenty times': (random, clip) => {
    const base = logNormal(150, 0.06)(random, clip)
    return random() < 0.1 ? base * Math.min((1 - random()) ** -0.3, 20) : base
  },
}

/** The lag and the requests of one clip. */
export interface Watched {
  readonly lagMs: number
  readonly requests: number
}

/** Means over clips. */
export type Outcome = Watched

export function meanOf(clips: readonly Watched[]): Outcome {
  const mean = (value: (clip: Watched) => number) => clips.reduce((sum, clip) => sum + value(clip), 0) / clips.length
  return { lagMs: mean((clip) => clip.lagMs), requests: mean((clip) => clip.requests) }
}

/** The time of the next poll, relative to a poll at `elapsedMs` (0: the submission). */
type Next = (elapsedMs: number, clip: number) => number

/** Watches clip after clip. `learn` receives the polls around the end of each clip, not the end itself. */
function watch(
  renderMs: readonly number[],
  next: Next,
  learn: (afterMs: number, byMs: number, clip: number) => void = () => undefined,
): Watched[] {
  return renderMs.map((lengthMs, clip) => {
    let [at, before, requests] = [0, 0, 0]
    while (at < lengthMs) {
      before = at
      at += next(at, clip)
      requests++
    }
    learn(before, at, clip)
    return { lagMs: at - lengthMs, requests }
  })
}

export function rendersOf(draw: Draw, seed: number): number[] {
  const random = mulberry(seed)
  return Array.from({ length: CLIPS }, (_, clip) => draw(random, clip))
}

/** The product, starting without any history. */
export function watchByPlan(renderMs: readonly number[]): Watched[] {
  let times: RenderTimes = NO_RENDER_TIMES
  let schedule: PollSchedule | null = null
  const idOf = (clip: number) => `gen_${clip.toString(32).padStart(6, '0')}`
  return watch(
    renderMs,
    (elapsedMs, clip) =>
      elapsedMs === 0
        ? firstPollMs(schedule, idOf(clip), LIMITS)
        : nextPollMs({ elapsedMs, failures: 0, retryAfterMs: null }, { schedule, isBusy: false }, LIMITS),
    (afterMs, byMs, clip) => {
      times = withRender(times, afterMs, byMs, clipsFor(idOf(clip)))
      if (clip % SCHEDULE_EVERY === 0) schedule = scheduleFor(times, LIMITS.known)
    },
  )
}

const counted = (watched: readonly Watched[]) => meanOf(watched.slice(WARM_UP))

/** An oracle that knows the distribution of this run, but not the order of its clips, at the same mean lag. */
export function oracleAt(lagMs: number, renderMs: readonly number[]): Outcome {
  const ends = renderMs.slice(WARM_UP)
  const density = Array.from({ length: BUCKETS }, () => 0)
  for (const end of ends) density[bucketOf(end)] = (density[bucketOf(end)] ?? 0) + 1 / ends.length
  const schedule = scheduleForKnown(density, lagMs, { ...LIMITS.known, intervalMinMs: S })
  return counted(watch(renderMs, (elapsedMs) => schedule.nextMs(elapsedMs)))
}

export const every = (seconds: number, renderMs: readonly number[]): Outcome =>
  counted(watch(renderMs, () => seconds * S))

export interface Comparison {
  readonly 'every 15 s': Outcome
  readonly 'every 30 s': Outcome
  readonly 'exponential, 5 s to 60 s': Outcome
  readonly plan: Outcome
  readonly oracle: Outcome
}

export function compare(renderMs: readonly number[]): Comparison {
  const plan = counted(watchByPlan(renderMs))
  return {
    'every 15 s': every(15, renderMs),
    'every 30 s': every(30, renderMs),
    'exponential, 5 s to 60 s': counted(
      watch(renderMs, (elapsedMs) => Math.min(Math.max(elapsedMs / 2, 5 * S), 60 * S)),
    ),
    plan,
    oracle: oracleAt(plan.lagMs, renderMs),
  }
}
