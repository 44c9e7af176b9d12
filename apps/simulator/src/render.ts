// How long a render takes: log-normal around a median that grows with the clip's length; the first part of the time is `queued`. The
// medians agree with the published estimates (10 s clip 2–5 min, 15 s 3–8 min); the estimates say nothing more.
import { normal, type Random } from './random.ts'

/** Standard deviation of the logarithm: about 68 % of the renders fall within ±42 % of the median. */
const SIGMA = 0.35
const MODEL_SLOWNESS: Readonly<Record<string, number>> = { openAiSora2Plus: 1, openAiSora2Pro: 1.8 }

/** The median render time in real-world milliseconds (speed 1) of a clip of `seconds` by `model`. */
export function medianRenderMs(model: string, seconds: number): number {
  return (30 + 15 * seconds) * 1000 * (MODEL_SLOWNESS[model] ?? 1)
}

interface RenderTime {
  /** From acceptance to `processing`. */
  readonly queuedMs: number
  /** From acceptance to the terminal status; includes `queuedMs`. */
  readonly totalMs: number
}

/** Draws one render time at speed 1. */
export function drawRenderTime(model: string, seconds: number, random: Random): RenderTime {
  const totalMs = medianRenderMs(model, seconds) * Math.exp(SIGMA * normal(random))
  return splitRenderTime(totalMs, random)
}

/** Splits a known total; the `queued` part is 5 to 30 % of the total. */
export function splitRenderTime(totalMs: number, random: Random): RenderTime {
  return { totalMs, queuedMs: totalMs * (0.05 + 0.25 * random()) }
}
