// `npm run start:api`: the API alone; any number of API processes share one database.

import { openAppContext } from '@reelqueue/shared/app-context'
import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { startApi } from './api.ts'
import { bootstrapProject, printMadeUp } from './bootstrap.ts'
import { runCommand, runParts } from './command.ts'
import { refuseWrong } from './doctor/refuse.ts'
import { pauseIfTold } from './ledger.ts'
import { refuseTakenPorts } from './ports.ts'

const STOP_BOUND_MS = 20_000

await runCommand(async () => {
  const config = loadConfig()
  const log = createLogger(config.LOG_LEVEL)
  await runParts(STOP_BOUND_MS, async (stops) => {
    await refuseTakenPorts([{ host: config.HOST, port: config.PORT, variable: 'PORT' }])
    await refuseWrong(config, log)
    stops.stopping.throwIfAborted()
    const context = openAppContext(config, log)
    stops.push(() => context.close())
    await pauseIfTold(context)
    const api = await startApi(context)
    stops.push(() => api.close())
    // Only now does the port belong to this process: values shown once must not be lost in a failing start.
    const bootstrapping = bootstrapProject(context, printMadeUp)
    stops.push(() => bootstrapping.catch(() => undefined))
    await bootstrapping
    return null
  })
})
