// `npm run start:worker`: a worker alone; any number of workers share the work.

import { openAppContext } from '@reelqueue/shared/app-context'
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
    const context = openAppContext(config, log)
    stops.push(() => context.close())
    const ledger = await startLedger(context)
    stops.push(() => ledger.close())
    const worker = startWorkerIn(context)
    stops.push(() => worker.close())
    return null
  })
})
