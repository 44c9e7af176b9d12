// Reelqueue as `npm start` runs it, API and worker in one process, configured by the environment. Started with `fork`; tells its
// URL, and stops when left.

import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { startApi } from '../bin/api.ts'
import { bootstrapProject } from '../bin/bootstrap.ts'
import { openHouse } from '../bin/house.ts'
import { startWorkerIn } from '../bin/worker.ts'

const config = loadConfig()
const house = openHouse(config, createLogger(config.LOG_LEVEL))
await bootstrapProject(house)
const api = await startApi(house)
// Without a key to pay with, only requests are accepted.
if (config.UPSTREAM_API_KEY !== undefined) startWorkerIn(house)
process.on('disconnect', () => process.exit(0))
process.send?.({ url: api.url })
