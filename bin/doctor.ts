// `npm run doctor`: looks at all that the configuration names and says how it is. Starts and changes nothing.
// Ends with 0 when everything answers and nothing is wrong, else with 1.

import { loadConfig } from '@reelqueue/shared/runtime/config'
import { runCommand } from './command.ts'
import { examine } from './doctor/examine.ts'
import { report } from './doctor/report.ts'
import { findEmbedded } from './embedded.ts'

const MIGRATION_WAIT_MS = 3_000

await runCommand(async () => {
  const given = loadConfig()
  const { settings, postgres, redis, upstream } = examine((await findEmbedded(given)) ?? given, MIGRATION_WAIT_MS)
  const findings = [...(await Promise.all([postgres, redis, upstream])).flat(), ...settings]
  console.log(report(findings))
  // Not left to run out: Prisma's schema engine leaves a timer of ten seconds.
  process.exit(findings.some(({ level }) => level === 'down' || level === 'wrong') ? 1 : 0)
})
