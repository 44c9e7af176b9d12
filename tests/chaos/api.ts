// An API like `npm run start:api`, without the doctor (the doctor costs more than the rest, and has its own tests). The API dies at the
// crash point named in its environment (`crash-points.ts`).

import { openAppContext } from '@reelqueue/shared/app-context'
import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { startApi } from '../../bin/api.ts'
import { bootstrapProject } from '../../bin/bootstrap.ts'
import { runCommand, runParts } from '../../bin/command.ts'
import { crashPlan } from './crash-points.ts'
import { minedContext } from './mined-context.ts'

const STOP_BOUND_MS = 20_000

await runCommand(async () => {
  const config = loadConfig()
  const log = createLogger(config.LOG_LEVEL)
  await runParts(STOP_BOUND_MS, async (stops) => {
    const context = openAppContext(config, log)
    stops.push(() => context.close())
    await bootstrapProject(context)
    const api = await startApi(
      minedContext(
        context,
        crashPlan(process.env, async () => undefined),
      ),
    )
    stops.push(() => api.close())
    return null
  })
})
