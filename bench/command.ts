// `npm run bench`: measures Reelqueue beside the ordinary way of doing the same, in one run, on an own embedded Postgres (and a
// Redis of its own, when `redis-server` is there). What counts are the ratios: machines differ, and so do their moods.

import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { benchIngest } from './ingest.ts'
import { measurePlans } from './plans.ts'
import { benchPolling } from './poll-plan.ts'
import { startServers } from './servers.ts'

const { values } = parseArgs({
  options: {
    lines: { type: 'string', default: '10000' },
    plans: { type: 'string' },
    polling: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const lines = Number(values.lines)
const history = Number(values.plans ?? 10_000)
const isBetween = (value: number, min: number, max: number) => Number.isInteger(value) && value >= min && value <= max
if (values.help || !isBetween(lines, 100, 50_000) || !isBetween(history, 10_000, 10_000_000)) {
  console.log(`Usage: npm run bench -- [--lines N]    ingest N lines, 100 to 50000 (default 10000)
       npm run bench -- --plans N      the plans of the hot statements on N generations, 10000 to 10000000
       npm run bench -- --polling      polling by what clips took, beside fixed intervals, simulated`)
  process.exit(values.help ? 0 : 2)
}

if (values.polling) {
  benchPolling()
  process.exit(0)
}
const servers = await startServers()
try {
  const load = loadavg().map((one) => one.toFixed(1))
  console.log(
    `Node ${process.versions.node}, ${cpus().length} cores, load ${load.join(' ')}; queues on ${servers.queuesOn}`,
  )
  if (values.plans === undefined) await benchIngest(servers, lines)
  else console.log(await measurePlans(servers, history))
} finally {
  await servers.stop()
}
