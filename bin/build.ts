// `npm run build`: bundles the commands of an installation, so that they start with half of the CPU time.

import { bundleCommands } from './bundle.ts'
import { runCommand } from './command.ts'

await runCommand(async () => {
  await bundleCommands()
  console.log('The commands are bundled. A start uses the bundles until a source changes.')
})
