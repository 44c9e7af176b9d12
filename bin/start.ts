// `npm start`: API and worker in one process, on the embedded Postgres unless DATABASE_URL is set.

import { loadConfig, required } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { bootstrapProject, printMadeUp } from './bootstrap.ts'
import { runCommand, stopOnSignal } from './command.ts'
import { embedUnlessConfigured } from './embedded.ts'
import { openHouse, prepareDatabase, startApi, startWorkerIn, stopBoundMs } from './house.ts'

await runCommand(async () => {
  const given = loadConfig()
  const log = createLogger(given.LOG_LEVEL)
  const embedded = await embedUnlessConfigured(given, log)
  const { config } = embedded
  try {
    await prepareDatabase(required(config, 'DATABASE_URL'))
    const house = openHouse(config, log)
    printMadeUp(await bootstrapProject(house))
    const api = await startApi(house)
    const worker = startWorkerIn(house)
    console.log(`Reelqueue answers at ${api.url} (docs at ${api.url}/docs, queues at ${api.url}/admin/queues).`)
    if (config.UPSTREAM_API_KEY === undefined) {
      console.log('UPSTREAM_API_KEY is not set: requests are accepted and kept, and nothing is submitted yet.')
    }
    stopOnSignal(
      async () => {
        await Promise.all([api.close(), worker.close()])
        await house.close()
        await embedded.stop()
      },
      stopBoundMs(config),
      console.error,
    )
  } catch (error) {
    await embedded.stop()
    throw error
  }
})
