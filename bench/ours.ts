// Reelqueue as in `npm start`, API and worker in one process, configured by the environment. Started with `fork`; sends its URL, and exits
// on disconnect.

import { openAppContext } from '@reelqueue/shared/app-context'
import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { startApi } from '../bin/api.ts'
import { bootstrapProject } from '../bin/bootstrap.ts'
import { startWorkerIn } from '../bin/worker.ts'

const config = loadConfig()
const context = openAppContext(config, createLogger(config.LOG_LEVEL))
await bootstrapProject(context)
const api = await startApi(context)
// Without a provider key, requests are only accepted.
if (config.UPSTREAM_API_KEY !== undefined) startWorkerIn(context)
process.on('disconnect', () => process.exit(0))
process.send?.({ url: api.url })
