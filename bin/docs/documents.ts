// The files written by `npm run docs`; tests/documents.test.ts compares them with the committed files.

import { configurationPage, envExample } from './configuration.ts'
import { doctorPage } from './doctor.ts'
import { httpApiPage } from './http-api.ts'
import { logEventsPage } from './log-events.ts'
import { problemsPage } from './problems.ts'

/** Every generated document, by its path from the repository's root. */
export async function renderDocuments(): Promise<Readonly<Record<string, string>>> {
  return {
    'docs/problems.md': problemsPage(),
    'docs/configuration.md': configurationPage(),
    'docs/doctor.md': doctorPage(),
    'docs/log-events.md': logEventsPage(),
    'docs/http-api.md': await httpApiPage(),
    '.env.example': envExample(),
  }
}
