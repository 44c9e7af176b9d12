// `npm run chaos`: long storms on one backend or both. Ends with code 1 when a guarantee was broken, and prints the command for a
// repetition.

import { rm } from 'node:fs/promises'
import { runToEnd, UserError } from '../../bin/command.ts'
import { readOptions, USAGE } from './options.ts'
import { summaryOf } from './report.ts'
import { runStorm } from './storm.ts'

// Every process of the storm ends with this process, at any signal.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

await runToEnd(async () => {
  let broken = 0
  for (const options of readWords()) {
    const report = await runStorm(options, (line) => console.log(line))
    console.log(`\n${summaryOf(report)}\n`)
    broken += report.violations.length
    if (report.violations.length === 0) await rm(report.folder, { recursive: true, force: true })
  }
  if (broken > 0) throw new UserError(`${broken} violations: see above.`)
})

function readWords() {
  try {
    return readOptions(process.argv.slice(2))
  } catch (error) {
    throw new UserError(`${error instanceof Error ? error.message : error}\n${USAGE}`)
  }
}
