// `npm run bench`: measures Reelqueue beside a plain pipeline with the same purpose and ordinary code, in a single run, on a private
// embedded Postgres (and a private Redis, when `redis-server` is installed). Only the ratios count: machines differ, and so does their
// load.

import { writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { otherPostgres } from '../tests/support/other-postgres.ts'
import { measureAdmission } from './admission.ts'
import { measureDeliveries } from './deliveries.ts'
import { benchIngest } from './ingest.ts'
import { benchLargeCancel } from './large-cancel.ts'
import { benchList } from './list.ts'
import { measurePlans } from './plans.ts'
import { benchPolling, simulatePolling } from './polling.ts'
import { tableOf } from './report.ts'
import { startServers } from './servers.ts'
import { benchSideBySide } from './side-by-side.ts'
import { benchWipe } from './wiped-redis.ts'

/** The size of each measurement. */
const SMALL = { accepts: 3_000, generations: 3_000, lines: 10_000, inFlight: 2_000, history: 20_000 }
const FULL = { accepts: 20_000, generations: 20_000, lines: 50_000, inFlight: 20_000, history: 1_000_000 }

const { values } = parseArgs({
  options: {
    cancel: { type: 'string' },
    admission: { type: 'boolean', default: false },
    deliveries: { type: 'boolean', default: false },
    full: { type: 'boolean', default: false },
    json: { type: 'string', default: 'bench.json' },
    lines: { type: 'string' },
    plans: { type: 'string' },
    polling: { type: 'boolean', default: false },
    plot: { type: 'string' },
    postgres: { type: 'string' },
  },
})
const lines = Number(values.lines ?? SMALL.lines)
const history = Number(values.plans ?? 10_000)
const cancel = Number(values.cancel ?? SMALL.lines)
const isBetween = (value: number, min: number, max: number) => Number.isInteger(value) && value >= min && value <= max
if (!isBetween(lines, 100, 50_000) || !isBetween(cancel, 100, 50_000) || !isBetween(history, 10_000, 10_000_000)) {
  console.error(
    '--lines and --cancel take 100 to 50000, --plans 10000 to 10000000. `npm run bench -- --help` has all options.',
  )
  process.exit(2)
}

if (values.polling) {
  await benchPolling(values.plot)
  process.exit(0)
}
const binaries = await otherPostgres(values.postgres).catch((error: Error) => {
  console.error(`--postgres: ${error.message}`)
  process.exit(2)
})
const servers = await startServers(binaries)
try {
  const load = loadavg().map((one) => one.toFixed(1))
  const machine = `Node ${process.versions.node}, ${cpus().length} cores, load ${load.join(' ')}; ${servers.postgres}; queues on ${servers.queuesOn}`
  console.log(machine)
  if (values.cancel !== undefined) console.log(await benchLargeCancel(servers, cancel))
  else if (values.admission) console.log(await measureAdmission(servers))
  else if (values.deliveries) console.log(await measureDeliveries(servers))
  else if (values.lines !== undefined) await benchIngest(servers, lines)
  else if (values.plans !== undefined) console.log(await measurePlans(servers, history))
  else await benchAll(machine)
} finally {
  await servers.stop()
}

async function benchAll(machine: string): Promise<void> {
  if (servers.queuesOn !== 'Redis') throw new Error('The plain pipeline needs a Redis: install redis-server.')
  const size = values.full ? FULL : SMALL
  const sideBySide = await benchSideBySide(servers, size.accepts, size.generations)
  const ingest = await benchIngest(servers, size.lines)
  await servers.empty('Reelqueue')
  const wipe = await benchWipe(servers, size.inFlight)
  const list = await benchList(servers, size.history)
  const polling = simulatePolling()
  const result = { at: new Date().toISOString(), machine, size, sideBySide, ingest, wipe, list, polling }
  await writeFile(values.json, `${JSON.stringify(result, null, 2)}\n`)
  console.log(`\n${tableOf(result)}\n\nThe numbers are in ${values.json}.`)
}
