// `npm run start:worker`: a worker alone; any number of them share the work.

import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { runCommand, runParts } from './command.ts'
import { openHouse, refuseWhilePending, startWorkerIn, stopBoundMs } from './house.ts'

await runCommand(async () => {
  const config = loadConfig()
  await refuseWhilePending(config)
  await runParts(stopBoundMs(config), async (stops) => {
    const house = openHouse(config, createLogger(config.LOG_LEVEL))
    stops.push(() => house.close())
    const worker = startWorkerIn(house)
    stops.push(() => worker.close())
    return null
  })
})
