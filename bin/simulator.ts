// `npm run simulator`: the stand-in for the upstream, by default on loopback.

import { parseArgs } from 'node:util'
import { loadConfig } from '@reelqueue/shared/runtime/config'
import { buildSimulator } from '@reelqueue/simulator/app'
import { explainListenError, runCommand, runParts, UserError } from './command.ts'

const STOP_BOUND_MS = 10_000

await runCommand(async () => {
  const { SIMULATOR_PORT: port, LOG_LEVEL: logLevel } = loadConfig()
  const values = parseWords()
  const speed = Number(values.speed)
  if (!(speed > 0))
    throw new UserError('--speed must be a number above 0: how many times faster than in the real world videos render.')
  await runParts(STOP_BOUND_MS, async (stops) => {
    const simulator = buildSimulator({ speed, logLevel })
    stops.push(() => simulator.close())
    const url = await simulator.listen({ host: values.host, port }).catch((error: unknown) => {
      throw explainListenError(error, values.host, port, 'SIMULATOR_PORT')
    })
    console.log(`The simulator answers at ${url}: set UPSTREAM_BASE_URL to it, and UPSTREAM_API_KEY to any word.`)
    console.log('Quick renders show sooner with POLL_INTERVAL_MIN_MS=500 and POLL_INTERVAL_MAX_MS=1000 on the worker.')
    return null
  })
})

function parseWords() {
  try {
    const options = { host: { type: 'string', default: '127.0.0.1' }, speed: { type: 'string', default: '1' } } as const
    return parseArgs({ options }).values
  } catch (error) {
    throw new UserError(
      `${error instanceof Error ? error.message : error}\nUsage: npm run simulator -- [--host 127.0.0.1] [--speed 1]   (speed: times faster than real renders)`,
    )
  }
}
