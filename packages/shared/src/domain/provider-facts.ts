// Facts about one provider beside its protocol. Pure types: each provider states its own values in its folder.

import type { ScheduleLimits } from './poll-schedule.ts'

export interface ProviderFacts {
  /** How long the link of a video works, counted from the end of its render. */
  readonly linkLifeMs: number
  /** How long the provider can be asked about a task: asking longer learns nothing. */
  readonly taskMemoryMs: number
  /** How long an abandoned render plausibly continues; its slot stays taken for this long. */
  readonly renderMaxMs: number
  /** How often the provider asks to be polled. Used when the render times are unknown. */
  readonly pollAdvice: ScheduleLimits
}
