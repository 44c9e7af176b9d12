// `npm start`: API and worker in one process, on the embedded Postgres unless DATABASE_URL is set.

import { openAppContext } from '@reelqueue/shared/app-context'
import { prepareDatabase } from '@reelqueue/shared/migrate/prepare-database'
import { loadConfig, required } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { startApi } from './api.ts'
import { bootstrapProject, printMadeUp } from './bootstrap.ts'
import { runCommand, runParts } from './command.ts'
import { refuseWrong } from './doctor/refuse.ts'
import { embedUnlessConfigured } from './embedded.ts'
import { startLedger } from './ledger.ts'
import { refuseTakenPorts } from './ports.ts'
import { startWorkerIn, stopBoundMs } from './worker.ts'

await runCommand(async () => {
  const given = loadConfig()
  const log = createLogger(given.LOG_LEVEL)
  await runParts(stopBoundMs(given), async (stops) => {
    await refuseTakenPorts([{ host: given.HOST, port: given.PORT, variable: 'PORT' }])
    const { config } = await embedUnlessConfigured(given, log, stops)
    await prepareDatabase(required(config, 'DATABASE_URL'))
    await refuseWrong(config, log)
    stops.stopping.throwIfAborted()
    const context = openAppContext(config, log)
    stops.push(() => context.close())
    const api = await startApi(context)
    stops.push(() => api.close())
    // Only now does the port belong to this process: values shown once must not be lost in a failing start.
    const bootstrapping = bootstrapProject(context, printMadeUp)
    stops.push(() => bootstrapping.catch(() => undefined))
    await bootstrapping
    const ledger = await startLedger(context)
    stops.push(() => ledger.close())
    const worker = startWorkerIn(context)
    stops.push(() => worker.close())
    console.log(
      `Reelqueue answers at ${api.url} (docs at ${api.publicUrl}/docs, queues at ${api.publicUrl}/admin/queues).`,
    )
    if (config.UPSTREAM_API_KEY === undefined) {
      console.log('UPSTREAM_API_KEY is not set: requests are accepted and kept, and nothing is submitted yet.')
    }
    return null
  })
})
