// `npm run keys -- create|list|revoke|reseal|operator-password`: manages API keys and the operator's password until the console does.

import { parseArgs } from 'node:util'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { prepareDatabase } from '@reelqueue/shared/migrate/prepare-database'
import { type Config, loadConfig, required } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { type Database, openDatabase } from '@reelqueue/shared/store/database'
import { resealAll } from '@reelqueue/shared/store/operator/resealing'
import {
  addApiKey,
  DEFAULT_PROJECT,
  ensureProject,
  listApiKeys,
  newApiKey,
  revokeApiKey,
} from '@reelqueue/shared/store/projects'
import { sealerOf } from '@reelqueue/shared/webhooks/sealer'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import { makeOperatorPassword } from './bootstrap.ts'
import { runToEnd, UserError } from './command.ts'
import { refuseOldTables } from './doctor/refuse.ts'
import { joinEmbedded } from './embedded.ts'

const USAGE = `Usage:
  npm run keys -- create [--project default] [--name NAME]   prints a new key, once
  npm run keys -- list
  npm run keys -- revoke KEY_ID                              the key is refused from then on
  npm run keys -- reseal                                     encrypts every stored secret with SECRET_KEY, after a change of the key
  npm run keys -- operator-password                          makes and prints a new password of the operator pages, once`

/** How many projects and endpoints the error names. */
const CLOSED_SHOWN = 20

await runToEnd(async (stops) => {
  const given = loadConfig()
  const { positionals, values } = parseWords()
  const [action = '', id] = positionals
  if (!['create', 'list', 'reseal', 'operator-password'].includes(action) && !(action === 'revoke' && id !== undefined))
    throw new UserError(USAGE)
  const { config } = await joinEmbedded(given, createLogger('silent'), stops)
  const databaseUrl = required(config, 'DATABASE_URL')
  // An embedded database is prepared; a database named by the user might be the wrong database, and is only checked.
  if (given.DATABASE_URL === undefined) await prepareDatabase(databaseUrl)
  else await refuseOldTables(databaseUrl)
  stops.stopping.throwIfAborted()
  const database = openDatabase(databaseUrl, (error) => console.error(error.message))
  stops.push(() => database.close())
  if (action === 'create') await create(database, config, values.project, values.name)
  else if (action === 'list') await list(database)
  else if (action === 'reseal') await reseal(database, config)
  else if (action === 'operator-password') await changePassword(database, config)
  else if (id !== undefined) await revoke(database, id)
})

function parseWords() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { project: { type: 'string', default: DEFAULT_PROJECT }, name: { type: 'string', default: 'unnamed' } },
    })
  } catch (error) {
    throw new UserError(`${error instanceof Error ? error.message : error}\n${USAGE}`)
  }
}

async function create(database: Database, config: Config, projectName: string, name: string): Promise<void> {
  const sealer = sealerOf(config)
  const webhookSecret = newWebhookSecret()
  const project = await ensureProject(database, projectName, (id) => sealer.seal(webhookSecret, secretPlace(id)))
  if (project.created)
    console.log(`The project ${projectName} was created. Its webhook secret, shown only once: ${webhookSecret}`)
  const key = newApiKey()
  await addApiKey(database, project.id, name, key)
  console.log(`A key of the project ${projectName}, shown only once:\n${key}`)
}

async function list(database: Database): Promise<void> {
  const keys = await listApiKeys(database)
  if (keys.length === 0) console.log('There are no keys yet: npm run keys -- create')
  else
    console.table(
      keys.map((key) => ({
        id: key.id,
        project: key.project.name,
        name: key.name,
        begins: `${key.hint}…`,
        created: key.createdAt.toISOString(),
        revoked: key.revokedAt?.toISOString() ?? '',
      })),
    )
}

async function revoke(database: Database, id: string): Promise<void> {
  if (!(await revokeApiKey(database, id))) throw new UserError(`There is no live key ${id}: npm run keys -- list`)
  console.log(`The key ${id} is refused from now on.`)
}

/** Takes effect in all API processes at once, without a restart. */
async function changePassword(database: Database, config: Config): Promise<void> {
  const password = await makeOperatorPassword(database, true)
  console.log(
    `The operator's password (any user name), shown only once; the one before it is refused from now on:\n${password}`,
  )
  if (config.OPERATOR_PASSWORD !== undefined)
    console.log('OPERATOR_PASSWORD is set: where an API process has it too, that one holds, and not this.')
}

/** @throws UserError when a secret stays sealed with an unknown key */
async function reseal(database: Database, config: Config): Promise<void> {
  const sealer = sealerOf(config)
  const { values, closed } = await resealAll(database, (sealed, place) =>
    sealer.isPresent(sealed) ? null : sealer.seal(sealer.open(sealed, place), place),
  )
  console.log(`${values} stored secrets were sealed anew with SECRET_KEY.`)
  if (closed.length === 0) return
  const some = closed.slice(0, CLOSED_SHOWN).join(', ')
  throw new UserError(
    `The secrets of ${closed.length} projects or endpoints open neither with SECRET_KEY nor with SECRET_KEY_PREVIOUS (${some}). Set SECRET_KEY_PREVIOUS to the key that sealed them, or give each another secret.`,
  )
}
