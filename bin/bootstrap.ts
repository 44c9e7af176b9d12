// The first start creates the project `default` with a key and a webhook secret, and prints once what it made up.

import { createProject, DEFAULT_PROJECT, newApiKey } from '@reelqueue/shared/store/projects'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import type { House } from './house.ts'

export interface MadeUp {
  /** Null when it was configured. */
  readonly apiKey: string | null
  readonly webhookSecret: string | null
}

/** Creates the project `default` if it does not exist. @returns what had to be made up, or null when nothing was created */
export async function bootstrapProject({ config, database, sealer }: House): Promise<MadeUp | null> {
  const apiKey = config.BOOTSTRAP_API_KEY ?? newApiKey()
  const webhookSecret = config.BOOTSTRAP_WEBHOOK_SECRET ?? newWebhookSecret()
  const firstKey = { name: 'bootstrap', key: apiKey }
  if (!(await createProject(database, DEFAULT_PROJECT, sealer.seal(webhookSecret), firstKey))) return null
  return {
    apiKey: config.BOOTSTRAP_API_KEY === undefined ? apiKey : null,
    webhookSecret: config.BOOTSTRAP_WEBHOOK_SECRET === undefined ? webhookSecret : null,
  }
}

/** Prints what was made up: it can never be shown again. */
export function printMadeUp(madeUp: MadeUp | null): void {
  if (!madeUp || (madeUp.apiKey === null && madeUp.webhookSecret === null)) return
  console.log('\nThe project `default` was created. Keep these; they are shown only once:')
  if (madeUp.apiKey !== null) console.log(`  API key:        ${madeUp.apiKey}`)
  if (madeUp.webhookSecret !== null) console.log(`  webhook secret: ${madeUp.webhookSecret}`)
  console.log('')
}
