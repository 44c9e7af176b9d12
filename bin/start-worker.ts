// `npm run start:worker`: a worker alone; any number of them share the work.

import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { runCommand, stopOnSignal } from './command.ts'
import { openHouse, refuseWhilePending, startWorkerIn, stopBoundMs } from './house.ts'

await runCommand(async () => {
  const config = loadConfig()
  await refuseWhilePending(config)
  const house = openHouse(config, createLogger(config.LOG_LEVEL))
  const worker = startWorkerIn(house)
  stopOnSignal(
    async () => {
      await worker.close()
      await house.close()
    },
    stopBoundMs(config),
    console.error,
  )
})
