// `npm run start:api`: the API alone; any number of them share one database.

import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { bootstrapProject, printMadeUp } from './bootstrap.ts'
import { runCommand, runParts } from './command.ts'
import { openHouse, refuseWhilePending, startApi } from './house.ts'

const STOP_BOUND_MS = 20_000

await runCommand(async () => {
  const config = loadConfig()
  await refuseWhilePending(config)
  await runParts(STOP_BOUND_MS, async (stops) => {
    const house = openHouse(config, createLogger(config.LOG_LEVEL))
    stops.push(() => house.close())
    printMadeUp(await bootstrapProject(house))
    const api = await startApi(house)
    stops.push(() => api.close())
    return null
  })
})
