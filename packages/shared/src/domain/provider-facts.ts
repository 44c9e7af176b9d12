// What holds for one provider beside how it is spoken to. Pure types: each provider states its own values in its folder.

import type { ScheduleLimits } from './poll-schedule.ts'

export interface ProviderFacts {
  /** How long the link of a video works, counted from the end of its render. */
  readonly linkLifeMs: number
  /** How long the provider can be asked about a task: asking longer learns nothing. */
  readonly taskMemoryMs: number
  /** How long a render plausibly goes on after nobody waits for it: its slot is kept for it. */
  readonly renderMaxMs: number
  /** How often the provider asks to be polled. It holds where nobody knows how long clips take. */
  readonly pollAdvice: ScheduleLimits
}
