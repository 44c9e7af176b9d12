// Bounds the concurrent look-ups of names, in total and for each project, so that names with silent DNS servers delay only their own
// project.

import { takeTurns } from '../runtime/turns.ts'
import type { Lookup } from './guarded-connect.ts'

const PROJECT_LOOKUPS_MAX = 10
/** Each look-up takes a socket or two. */
const LOOKUPS_MAX = 200

/**
 * @param waitMs a look-up whose turn comes later than this is not made: the request has timed out
 * @returns a function that creates the look-up of one project
 */
export function createProjectLookups(lookup: Lookup, waitMs: number): () => Lookup {
  const inAll = takeTurns(LOOKUPS_MAX)
  return () => {
    const ofProject = takeTurns(PROJECT_LOOKUPS_MAX)
    return async (hostname) => {
      const askedAt = performance.now()
      const inTime = async () => {
        if (performance.now() - askedAt > waitMs) throw new Error('other names were looked up meanwhile')
        return await lookup(hostname)
      }
      return await ofProject(() => inAll(inTime))
    }
  }
}
