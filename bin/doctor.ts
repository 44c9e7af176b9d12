// `npm run doctor`: checks everything named by the configuration and prints the findings. Starts and changes nothing. Ends with 0 when
// every server answers and nothing is wrong, otherwise with 1.

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
  // Exits at once: Prisma's schema engine would hold the process for ten seconds with a timer.
  process.exit(findings.some(({ level }) => level === 'down' || level === 'wrong') ? 1 : 0)
})
