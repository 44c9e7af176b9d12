// docs/doctor.md: the checks of the doctor, and their consequences.

import { CHECKS } from '@reelqueue/shared/doctor/finding'
import { code, page, table } from './markdown.ts'

export function doctorPage(): string {
  return page(
    'The doctor',
    '`doctor/finding.ts`',
    '`npm run doctor` checks everything that its configuration names, so run it with the environment of the processes to check. It changes nothing, and prints for each check the result and what to do. Its exit code is 0 when all servers answer and nothing is wrong, else 1. `npm start`, `npm run start:api` and `npm run start:worker` run the same checks first: a **wrong** result ends the start, with the fix; a **warning**, or a server that is **down**, is a line in the log (`doctor.finding`), and the start goes on. A Redis that hangs delays a start by 2.5 s.',
    table(
      ['Check', 'What it checks, and the possible results'],
      Object.entries(CHECKS).map(([name, meaning]) => [code(name), meaning]),
    ),
  )
}
