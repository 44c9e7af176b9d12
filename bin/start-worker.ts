// `npm run start:worker`: a worker alone; any number of workers share the work.

import { openHouse } from '@reelqueue/shared/app-context'
import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { runCommand, runParts } from './command.ts'
import { refuseWrong } from './doctor/refuse.ts'
import { startLedger } from './ledger.ts'
import { startWorkerIn, stopBoundMs } from './worker.ts'

await runCommand(async () => {
  const config = loadConfig()
  const log = createLogger(config.LOG_LEVEL)
  await runParts(stopBoundMs(config), async (stops) => {
    await refuseWrong(config, log)
    stops.stopping.throwIfAborted()
    const house = openHouse(config, log)
    stops.push(() => house.close())
    const ledger = await startLedger(house)
    stops.push(() => ledger.close())
    const worker = startWorkerIn(house)
    stops.push(() => worker.close())
    return null
  })
})
