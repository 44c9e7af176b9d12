// A worker like `npm run start:worker`, without the doctor (the doctor costs more than the rest, and has its own tests). The worker dies at
// the crash point named in its environment (`crash-points.ts`).

import { openAppContext } from '@reelqueue/shared/app-context'
import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { runCommand, runParts } from '../../bin/command.ts'
import { upstreamOf } from '../../bin/upstream.ts'
import { startWorkerIn, stopBoundMs } from '../../bin/worker.ts'
import { crashPlan } from './crash-points.ts'
import { minedContext, minedUpstream } from './mined-context.ts'

await runCommand(async () => {
  const config = loadConfig()
  const log = createLogger(config.LOG_LEVEL)
  await runParts(stopBoundMs(config), async (stops) => {
    const context = openAppContext(config, log)
    stops.push(() => context.close())
    // Closing the queues sends the jobs that are still in memory.
    const pass = crashPlan(process.env, () => context.queues.close())
    const upstream = upstreamOf(config)
    const answered = (taskId: string) => context.log.pino.info({ event: 'chaos.answered', taskId })
    const mined = upstream && minedUpstream(upstream, pass, answered)
    const worker = startWorkerIn(minedContext(context, pass), mined)
    stops.push(() => worker.close())
    return null
  })
})
