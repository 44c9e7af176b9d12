// How long the list of a project takes on a long history.

import { openDatabase } from '@reelqueue/shared/store/database'
import { addApiKey } from '@reelqueue/shared/store/projects'
import { startOutside } from './children.ts'
import { start } from './contestants.ts'
import { makeHistory } from './history.ts'
import { sendMany, type Timing } from './requests.ts'
import type { Servers } from './servers.ts'

const REQUESTS = 500
const KEY = 'rq_bench_key_of_the_project_with_a_history'

export async function benchList(servers: Servers, rows: number): Promise<Timing> {
  const { projectId } = await makeHistory(servers.databaseUrl, rows)
  const database = openDatabase(servers.databaseUrl, console.error)
  await addApiKey(database, projectId, 'bench', KEY)
  await database.close()
  const outside = await startOutside()
  const setting = { works: false, pollMinMs: 1_000, pollMaxMs: 1_000, slots: 1 }
  const pipeline = await start('Reelqueue', servers, outside, setting)
  const headers = { authorization: `Bearer ${KEY}` }
  const list = (count: number) => sendMany(pipeline.url, count, '/v1/generations?limit=50', 200, headers, undefined, 1)
  await list(REQUESTS / 10)
  const timing = await list(REQUESTS)
  await pipeline.stop()
  await outside.stop()
  await servers.empty('Reelqueue')
  return timing
}
