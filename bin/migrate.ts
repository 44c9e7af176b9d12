// `npm run migrate`: prepares or upgrades the database. Safe to repeat, and from several machines at once.

import { prepareDatabase } from '@reelqueue/shared/migrate/prepare-database'
import { loadConfig, required } from '@reelqueue/shared/runtime/config'
import { runToEnd } from './command.ts'

await runToEnd(async () => {
  const applied = await prepareDatabase(required(loadConfig(), 'DATABASE_URL'))
  console.log(applied.length === 0 ? 'The database is up to date.' : `Applied: ${applied.join(', ')}.`)
})
