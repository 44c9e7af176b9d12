// `npm run start:api`: the API alone; any number of them share one database.

import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { bootstrapProject, printMadeUp } from './bootstrap.ts'
import { runCommand, stopOnSignal } from './command.ts'
import { openHouse, refuseWhilePending, startApi } from './house.ts'

const STOP_BOUND_MS = 20_000

await runCommand(async () => {
  const config = loadConfig()
  await refuseWhilePending(config)
  const house = openHouse(config, createLogger(config.LOG_LEVEL))
  printMadeUp(await bootstrapProject(house))
  const api = await startApi(house)
  stopOnSignal(
    async () => {
      await api.close()
      await house.close()
    },
    STOP_BOUND_MS,
    console.error,
  )
})
