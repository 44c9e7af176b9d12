// A short-lived cache of valid API keys. Only for routes with a statement that checks the key again: the cache saves a
// query, and a revoked key is still refused at once.

import type { CallingProject } from '@reelqueue/shared/store/projects'

const REMEMBERED_MS = 10_000
const REMEMBERED_MAX = 1_000

export interface KnownKeys {
  /** Looks up the key in Postgres. */
  find(keyHash: string): Promise<CallingProject | null>
  /** The cached project of a key; null when a look-up is needed. */
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
