// What only this provider says of itself, as numbers and names.

import type { ModelName } from '@reelqueue/contract/terms/models'
import type { ProviderFacts } from '../../domain/provider-facts.ts'

/** Stored beside every task id. */
export const NAME = 'globalai'

const HOUR_MS = 3_600_000

export const FACTS: ProviderFacts = {
  // The documentation: a link works for one day.
  linkLifeMs: 24 * HOUR_MS,
  // The record of a task is deleted after about a day.
  taskMemoryMs: 24 * HOUR_MS,
  // Published estimates end at 15 minutes.
  renderMaxMs: HOUR_MS / 2,
  pollAdvice: { intervalMinMs: 30_000, intervalMaxMs: 60_000 },
}

const SORA = '/v1/sora/videos'

/** The path below the base URL that creates a task of each model. */
export const CREATE_PATHS: Readonly<Partial<Record<string, string>>> = {
  openAiSora2Plus: SORA,
  openAiSora2Pro: SORA,
} satisfies Record<ModelName, string>
