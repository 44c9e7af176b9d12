// Every guarantee that a chaos run tries to break, by its name in the report of violations.

import type { Evidence } from '../evidence.ts'
import * as accepted from './accepted.ts'
import * as answers from './answers.ts'
import * as paid from './paid.ts'
import * as running from './running.ts'
import * as told from './told.ts'

const { oddAnswersAreRead, everyReplyIsKept, linksEndWhenTheySay } = answers
const CHECKS: Readonly<Record<string, (evidence: Evidence) => string[]>> = {
  ...accepted,
  ...paid,
  ...told,
  ...running,
  oddAnswersAreRead,
  everyReplyIsKept,
  linksEndWhenTheySay,
}

export interface Violation {
  readonly check: string
  readonly message: string
}

export function judge(evidence: Evidence): Violation[] {
  return Object.entries(CHECKS).flatMap(([check, find]) => find(evidence).map((message) => ({ check, message })))
}
