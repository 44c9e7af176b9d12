// docs/problems.md: the refusals of requests, and the failures of generations.

import { FAILURES } from '@reelqueue/contract/terms/failure'
import { PROBLEMS } from '@reelqueue/contract/terms/problem'
import { code, page, table } from './markdown.ts'

export function problemsPage(): string {
  return page(
    'Problems and failures',
    '`terms/problem.ts` and `terms/failure.ts`',
    'A refused request is answered with `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)). Branch on its `code`, which never changes; titles and details may. A refusal with a 4xx status stores nothing and costs nothing. After a 5xx or no reply, send the same request again with the same `Idempotency-Key`.',
    '## Problems',
    table(
      ['Status', 'Code', 'What it means', 'What to do'],
      Object.entries(PROBLEMS).map(([name, { status, title, fix }]) => [String(status), code(name), title, fix]),
    ),
    '`validation_failed` carries `errors`, a list of `{field, rule, allowed}`; those of a batch add `line`, the number of the item from 1. `total` is the number of all errors; the list has the first hundred.',
    '## Failures of a generation',
    "A generation that failed has `error: {code, message}`. The codes below are Reelqueue's own. Any other code comes from the last submission or poll; `upstream_…` is the provider's answer.",
    table(
      ['Code', 'What it means'],
      Object.entries(FAILURES).map(([name, meaning]) => [code(name), meaning]),
    ),
  )
}
