// `npm run migrate`: prepares or upgrades the database. Safe to repeat, and from several machines at once.

import { loadConfig, required } from '@reelqueue/shared/runtime/config'
import { runCommand } from './command.ts'
import { prepareDatabase } from './house.ts'

await runCommand(async () => {
  const applied = await prepareDatabase(required(loadConfig(), 'DATABASE_URL'))
  console.log(applied.length === 0 ? 'The database is up to date.' : `Applied: ${applied.join(', ')}.`)
})
