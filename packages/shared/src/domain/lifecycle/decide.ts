// The one place that decides what follows for a generation. Pure: the store locks the row, reads a snapshot, calls
// `decide`, and carries the plan out under the same lock. A plan for a snapshot that has moved on is `NOTHING`.

import { answered } from './answered.ts'
import { adopted, cancelled, reclaimed, retried } from './asked.ts'
import type { Outcome } from './outcome.ts'
import type { Plan } from './plan.ts'
import { found, rendered } from './rendered.ts'
import type { Snapshot } from './snapshot.ts'
import { thenAskAbout } from './tasks.ts'

/**
 * Decides what follows from an outcome.
 * INVARIANT: a task that was paid for is never lost, nothing is paid for twice without a certain refusal or a caller's
 * consent, and an ended generation stays ended (histories.test.ts tries all rules on random histories).
 */
export function decide(snapshot: Snapshot, outcome: Outcome): Plan {
  return thenAskAbout(snapshot, planOf(snapshot, outcome))
}

function planOf(snapshot: Snapshot, outcome: Outcome): Plan {
  switch (outcome.kind) {
    case 'answered':
      return answered(snapshot, outcome)
    case 'ended':
      return rendered(snapshot)
    case 'cancel':
      return cancelled(snapshot, outcome)
    case 'retry':
      return retried(snapshot)
    case 'adopt':
      return adopted(snapshot, outcome)
    case 'found':
      return found(snapshot, outcome)
    case 'reclaimed':
      return reclaimed(snapshot, outcome)
  }
}
