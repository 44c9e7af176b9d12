// Judges what Redis said of itself. It holds hints only, so a Redis that is away, slow or forgetful costs time; one that
// answers and quietly drops or refuses what it is given is what a start is refused for.

import { type Finding, fine, type Unreachable } from './finding.ts'

export interface RedisFacts {
  readonly product: 'Redis' | 'Valkey' | 'Dragonfly'
  /** Null when it does not tell. */
  readonly version: string | null
  /** What BullMQ demands and what it advises, of Redis itself. */
  readonly versionMin: string
  readonly versionAdvised: string
  readonly isReplica: boolean
  /** It has just started, and reads its data from disk. */
  readonly isLoading: boolean
  /** Null when it does not tell, as managed services may. */
  readonly evictionPolicy: string | null
  /** Whether anything of it survives a restart. Null when it does not tell. */
  readonly persists: boolean | null
}

export function redisFindings(facts: RedisFacts | Unreachable): Finding[] {
  if ('unreachable' in facts) {
    return [
      {
        check: 'redis',
        level: 'down',
        detail: `Redis cannot be used: ${facts.unreachable}`,
        fix: 'Check that it is running and that REDIS_URL names its host, port, user and password. Requests are accepted meanwhile; work resumes by itself.',
      },
    ]
  }
  return [serverFinding(facts), evictionFinding(facts), persistenceFinding(facts)]
}

function serverFinding({ product, version, versionMin, versionAdvised, isReplica, isLoading }: RedisFacts): Finding {
  const check = 'redis'
  const name = version === null ? product : `${product} ${version}`
  // BullMQ compares only Redis's own numbers; the others count from 1 again.
  const isOlderThan = (other: string) => product === 'Redis' && version !== null && isLower(version, other)
  if (isOlderThan(versionMin)) {
    return {
      check,
      level: 'wrong',
      detail: `this is ${name}, and BullMQ needs ${versionMin}`,
      fix: `Upgrade it (${versionAdvised} or newer is advised), or unset REDIS_URL: the queues then live in Postgres.`,
    }
  }
  if (isReplica) {
    return {
      check,
      level: 'wrong',
      detail: 'this is a replica: jobs cannot be added to it, or vanish when it follows its primary',
      fix: 'Name the primary in REDIS_URL, or promote this one (REPLICAOF NO ONE).',
    }
  }
  if (isLoading) {
    return {
      check,
      level: 'down',
      detail: `${name} is still loading its data`,
      fix: 'Wait: work resumes by itself when it is done.',
    }
  }
  if (isOlderThan(versionAdvised)) {
    return {
      check,
      level: 'warning',
      detail: `this is ${name}, and BullMQ advises ${versionAdvised} or newer`,
      fix: 'Upgrade it.',
    }
  }
  return fine(check, name)
}

function evictionFinding({ evictionPolicy }: RedisFacts): Finding {
  const check = 'redis_eviction'
  if (evictionPolicy === null) return fine(check, 'it does not tell its maxmemory-policy, which has to be noeviction')
  if (evictionPolicy === 'noeviction') return fine(check, 'maxmemory-policy is noeviction')
  return {
    check,
    level: 'wrong',
    detail: `maxmemory-policy is ${evictionPolicy}: when its memory is full, Redis would drop pieces of the queues`,
    fix: 'Set `maxmemory-policy noeviction` in redis.conf (a managed Redis: in its parameters), and at once with `redis-cli CONFIG SET maxmemory-policy noeviction`.',
  }
}

function persistenceFinding({ persists }: RedisFacts): Finding {
  const check = 'redis_persistence'
  if (persists === null) return fine(check, 'it does not tell whether its data survive a restart')
  if (persists) return fine(check, 'its data survive a restart')
  return {
    check,
    level: 'warning',
    detail:
      'Redis writes nothing to disk: after its restart nothing is lost, and work stands still for up to one RECONCILE_INTERVAL_MS',
    fix: 'Set `appendonly yes` in redis.conf.',
  }
}

/** Whether a dotted version comes before another; what is no number counts as 0. */
function isLower(version: string, other: string): boolean {
  const [ours, theirs] = [version, other].map((text) => text.split('.').map((part) => Number.parseInt(part, 10) || 0))
  for (const [index, part] of (theirs ?? []).entries()) {
    const mine = ours?.[index] ?? 0
    if (mine !== part) return mine < part
  }
  return false
}
