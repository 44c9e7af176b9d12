// API keys that were found alive a moment ago. Only for routes whose statement looks at the key again: to them it spares a query, and
// a key is refused from the moment it is revoked all the same.

import type { CallingProject } from '@reelqueue/shared/store/projects'

const REMEMBERED_MS = 10_000
const REMEMBERED_MAX = 1_000

export interface KnownKeys {
  /** Looks the key up. */
  find(keyHash: string): Promise<CallingProject | null>
  /** What it was found to belong to a moment ago; null when it has to be looked up. */
  recall(keyHash: string): CallingProject | null
}

export function createKnownKeys(look: (keyHash: string) => Promise<CallingProject | null>): KnownKeys {
  const known = new Map<string, { readonly project: CallingProject; readonly until: number }>()
  return {
    async find(keyHash) {
      const project = await look(keyHash)
      if (known.size >= REMEMBERED_MAX) known.clear()
      if (project) known.set(keyHash, { project, until: performance.now() + REMEMBERED_MS })
      else known.delete(keyHash)
      return project
    },
    recall(keyHash) {
      const found = known.get(keyHash)
      return found && found.until > performance.now() ? found.project : null
    },
  }
}
