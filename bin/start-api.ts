// `npm run start:api`: the API alone; any number of them share one database.

import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { startApi } from './api.ts'
import { bootstrapProject, printMadeUp } from './bootstrap.ts'
import { runCommand, runParts } from './command.ts'
import { refuseWrong } from './doctor/refuse.ts'
import { openHouse } from './house.ts'

const STOP_BOUND_MS = 20_000

await runCommand(async () => {
  const config = loadConfig()
  const log = createLogger(config.LOG_LEVEL)
  await refuseWrong(config, log)
  await runParts(STOP_BOUND_MS, async (stops) => {
    const house = openHouse(config, log)
    stops.push(() => house.close())
    printMadeUp(await bootstrapProject(house))
    const api = await startApi(house)
    stops.push(() => api.close())
    return null
  })
})
