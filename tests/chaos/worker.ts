// A worker like `npm run start:worker`, without the doctor (the doctor costs more than the rest, and has its own tests). The worker dies at
// the crash point named in its environment (`crash-points.ts`).

import { openHouse } from '@reelqueue/shared/app-context'
import { loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { runCommand, runParts } from '../../bin/command.ts'
import { upstreamOf } from '../../bin/upstream.ts'
import { startWorkerIn, stopBoundMs } from '../../bin/worker.ts'
import { crashPlan } from './crash-points.ts'
import { minedHouse, minedUpstream } from './mined-house.ts'

await runCommand(async () => {
  const config = loadConfig()
  const log = createLogger(config.LOG_LEVEL)
  await runParts(stopBoundMs(config), async (stops) => {
    const house = openHouse(config, log)
    stops.push(() => house.close())
    // Closing the queues sends the jobs that are still in memory.
    const pass = crashPlan(process.env, () => house.queues.close())
    const upstream = upstreamOf(config)
    const answered = (taskId: string) => house.log.pino.info({ event: 'chaos.answered', taskId })
    const mined = upstream && minedUpstream(upstream, pass, answered)
    const worker = startWorkerIn(minedHouse(house, pass), mined)
    stops.push(() => worker.close())
    return null
  })
})
