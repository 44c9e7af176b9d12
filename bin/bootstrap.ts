// The first start creates the project `default` with a key and a webhook secret, and the operator's password, and prints the generated
// values once.

import { randomBytes } from 'node:crypto'
import type { AppContext } from '@reelqueue/shared/app-context'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import type { Database } from '@reelqueue/shared/store/database'
import { storeOperatorPassword } from '@reelqueue/shared/store/operator/operator-login'
import { createProject, DEFAULT_PROJECT, hashOf, newApiKey } from '@reelqueue/shared/store/projects'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'

export interface MadeUp {
  /** Null when the key was configured. */
  readonly apiKey: string | null
  readonly webhookSecret: string | null
  readonly operatorPassword: string | null
}

/**
 * Creates the project `default` and the operator's password where they are absent. `show` receives generated values as soon as they are
 * stored: later steps may fail.
 */
export async function bootstrapProject(
  { config, database, sealer }: AppContext,
  show: (madeUp: MadeUp) => void = () => undefined,
): Promise<void> {
  const apiKey = config.BOOTSTRAP_API_KEY ?? newApiKey()
  const webhookSecret = config.BOOTSTRAP_WEBHOOK_SECRET ?? newWebhookSecret()
  const firstKey = { name: 'bootstrap', key: apiKey }
  const created = await createProject(
    database,
    DEFAULT_PROJECT,
    (id) => sealer.seal(webhookSecret, secretPlace(id)),
    firstKey,
  )
  show({
    apiKey: created && config.BOOTSTRAP_API_KEY === undefined ? apiKey : null,
    webhookSecret: created && config.BOOTSTRAP_WEBHOOK_SECRET === undefined ? webhookSecret : null,
    operatorPassword: null,
  })
  if (config.OPERATOR_PASSWORD !== undefined) return
  show({ apiKey: null, webhookSecret: null, operatorPassword: await makeOperatorPassword(database, false) })
}

export function newOperatorPassword(): string {
  return randomBytes(24).toString('base64url')
}

/** Generates and stores the operator's password. @returns null when a password exists and must not be replaced */
export async function makeOperatorPassword(database: Database, replace: boolean): Promise<string | null> {
  const password = newOperatorPassword()
  return (await storeOperatorPassword(database, hashOf(password), replace)) ? password : null
}

/** Prints the generated values: they can never be shown again. */
export function printMadeUp({ apiKey, webhookSecret, operatorPassword }: MadeUp): void {
  const lines = [
    apiKey !== null && `  API key:            ${apiKey}`,
    webhookSecret !== null && `  webhook secret:     ${webhookSecret}`,
    operatorPassword !== null && `  operator password:  ${operatorPassword}   (any user name)`,
  ].filter((line) => line !== false)
  if (lines.length === 0) return
  const what = apiKey === null && webhookSecret === null ? 'A password was made' : 'The project `default` was created'
  console.log(`\n${what}. Store these values now; Reelqueue shows them only once:\n${lines.join('\n')}\n`)
}
