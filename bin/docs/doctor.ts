// docs/doctor.md: the checks of the doctor, and their consequences.

import { CHECKS } from '@reelqueue/shared/domain/finding'
import { code, page, table } from './markdown.ts'

export function doctorPage(): string {
  return page(
    'The doctor',
    '`domain/finding.ts`',
    '`npm run doctor` looks at all that the configuration names (its own: give it the environment of the processes that it is to judge), changes nothing, and says for each check how it is and what to do about it. It ends with 0 when everything answers and nothing is wrong, else with 1. `npm start`, `npm run start:api` and `npm run start:worker` do the same first: what is **wrong** ends them, with the fix; a **warning**, and a server that is **down**, is a line in the log (`doctor.finding`), and the start goes on. A Redis that hangs delays a start by 2.5 s.',
    table(
      ['Check', 'What it looks at, and what comes of it'],
      Object.entries(CHECKS).map(([name, meaning]) => [code(name), meaning]),
    ),
  )
}
