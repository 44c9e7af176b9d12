// Judges the facts about Redis. Redis holds only hints, so an absent, slow or forgetful Redis costs only time. A start
// is refused only on a reachable Redis that would drop or reject writes.

import { explainRedisRefusal } from '../domain/redis-refusal.ts'
import { type Finding, fine, type Unreachable } from './finding.ts'

export interface RedisFacts {
  readonly product: 'Redis' | 'Valkey' | 'Dragonfly'
  /** Null when the server does not tell. */
  readonly version: string | null
  /** The versions that BullMQ demands and advises, for Redis itself. */
  readonly versionMin: string
  readonly versionAdvised: string
  readonly mode: 'standalone' | 'cluster' | 'sentinel'
  /** Masters of the Cluster; null without a Cluster, or when the server does not tell. */
  readonly mastersOfCluster: number | null
  /** Commands needed by the queues that the server refused when tried, with the server's words. */
  readonly refused: readonly { readonly command: string; readonly error: string }[]
  /** Null without a memory limit. */
  readonly memory: { readonly usedBytes: number; readonly maxBytes: number } | null
  readonly isReplica: boolean
  /** The server has just started and reads its data from disk. */
  readonly isLoading: boolean
  /** Null when the server does not tell; managed services may not tell. */
  readonly evictionPolicy: string | null
  /** Whether data survive a restart; null when the server does not tell. */
  readonly persists: boolean | null
}

export function redisFindings(facts: RedisFacts | Unreachable): Finding[] {
  if ('unreachable' in facts) {
    return [
      {
        check: 'redis',
        level: 'down',
        detail: `Redis cannot be used: ${facts.unreachable}`,
        fix: unreachableFix(facts.unreachable),
      },
    ]
  }
  const server = serverFinding(facts)
  // For a server of the wrong kind no other finding matters.
  if (server.level === 'wrong') return [server]
  return [server, commandsFinding(facts), evictionFinding(facts), persistenceFinding(facts)]
}

function unreachableFix(message: string): string {
  if (/wrong version number|packet length too long|EPROTO|record layer|no answer.*over TLS/i.test(message))
    return 'It seems not to speak TLS on this port: write redis:// instead of rediss:// in REDIS_URL, or name its TLS port.'
  if (/self.signed|certificate|altnames/i.test(message))
    return 'Its certificate is not trusted: name its authority in NODE_EXTRA_CA_CERTS, and its host in REDIS_URL as the certificate does.'
  if (/closed|ECONNRESET|EPIPE|Protocol error/i.test(message))
    return 'It ended the connection: when it expects TLS, write rediss:// instead of redis:// in REDIS_URL. Requests are accepted meanwhile; work resumes by itself.'
  const refusal = explainRedisRefusal(message)
  if (refusal !== null) return `Redis ${refusal}.`
  return 'Check that it is running and that REDIS_URL names its host, port, user and password. Requests are accepted meanwhile; work resumes by itself.'
}

function serverFinding(facts: RedisFacts): Finding {
  const { product, version, versionMin, versionAdvised, isReplica, isLoading } = facts
  const check = 'redis'
  const kind = kindFinding(facts)
  if (kind) return kind
  const name = version === null ? product : `${product} ${version}`
  // BullMQ compares only Redis's own version numbers; other products count from 1 again.
  const isOlderThan = (other: string) => product === 'Redis' && version !== null && isLower(version, other)
  if (isOlderThan(versionMin)) {
    return {
      check,
      level: 'wrong',
      detail: `this is ${name}, and BullMQ needs ${versionMin}`,
      fix: `Upgrade it (${versionAdvised} or newer is advised), or unset REDIS_URL: the queues are then in Postgres.`,
    }
  }
  if (isReplica) {
    return {
      check,
      level: 'wrong',
      detail: 'this is a replica: jobs cannot be added, or are lost when the replica follows its primary',
      fix: 'Name the primary in REDIS_URL, or promote this replica (REPLICAOF NO ONE).',
    }
  }
  if (isLoading) {
    return {
      check,
      level: 'down',
      detail: `${name} is still loading its data`,
      fix: 'Wait: work resumes by itself after the loading.',
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

/** Null for a single server. */
function kindFinding({ mode, mastersOfCluster, refused }: RedisFacts): Finding | null {
  const [check, level] = ['redis', 'wrong'] as const
  if (mode === 'sentinel') {
    const fix =
      'Name the primary in REDIS_URL, by a name that follows a failover; or unset REDIS_URL: the queues are then in Postgres.'
    return { check, level, detail: 'this is a Redis Sentinel, which keeps no data and is not supported', fix }
  }
  // A Cluster of one master is a single server.
  const isSplit = refused.some(({ error }) => /MOVED|CLUSTERDOWN|CROSSSLOT/.test(error))
  if (mode !== 'cluster' || (mastersOfCluster === 1 && !isSplit)) return null
  const masters = mastersOfCluster === null ? '' : ` of ${mastersOfCluster} masters`
  return {
    check,
    level,
    detail: `this is a node of a Redis Cluster${masters}, which is not supported`,
    fix: 'Name a single Redis in REDIS_URL, or unset REDIS_URL: the queues are then in Postgres.',
  }
}

const NEARLY_FULL = 0.9

function commandsFinding({ refused, memory, isLoading }: RedisFacts): Finding {
  const check = 'redis_commands'
  const named = (pattern: RegExp) => refused.flatMap(({ command, error }) => (pattern.test(error) ? [command] : []))
  const forbidden = named(/NOPERM|ACL failure|no permissions|can't run this/)
  if (forbidden.length > 0) {
    return {
      check,
      level: 'wrong',
      detail: `the ACL of the Redis user refuses commands that the queues need: ${forbidden.join(', ')}`,
      fix: `Give the user of REDIS_URL these rights: ACL SETUSER <user> ~{reelqueue}:* ${forbidden.map((command) => `+${command.toLowerCase()}`).join(' ')}`,
    }
  }
  const unknown = named(/unknown (redis )?command/i)
  if (unknown.length > 0) {
    const fix =
      'Remove `rename-command` for these commands from redis.conf, or unset REDIS_URL: the queues are then in Postgres.'
    return {
      check,
      level: 'wrong',
      detail: `Redis does not know commands that the queues need: ${unknown.join(', ')}`,
      fix,
    }
  }
  const [first] = refused
  if (first && !isLoading) {
    const words = explainRedisRefusal(first.error)
    const [what, fix] = words?.split(/[:.] (?=[A-Z])/) ?? [`refuses ${first.command}: ${first.error}`]
    return { check, level: 'down', detail: `it ${what}`, fix: fix ? `${fix}. Work resumes by itself.` : 'See its log.' }
  }
  if (memory && memory.usedBytes > NEARLY_FULL * memory.maxBytes) {
    const [used, max] = [memory.usedBytes, memory.maxBytes].map((bytes) => `${Math.round(bytes / 2 ** 20)} MB`)
    const fix = 'Raise maxmemory: when the memory is full, no job can be added.'
    return { check, level: 'warning', detail: `its memory is nearly full: ${used} of ${max}`, fix }
  }
  return fine(check, 'it lets the queues run every command that they need')
}

function evictionFinding({ evictionPolicy }: RedisFacts): Finding {
  const check = 'redis_eviction'
  if (evictionPolicy === null) return fine(check, 'Redis does not show its maxmemory-policy, which must be noeviction')
  if (evictionPolicy === 'noeviction') return fine(check, 'maxmemory-policy is noeviction')
  return {
    check,
    level: 'wrong',
    detail: `maxmemory-policy is ${evictionPolicy}: when its memory is full, Redis would delete parts of the queues`,
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
      'Redis writes nothing to disk: after a restart of Redis nothing is lost, and work stops for up to one RECONCILE_INTERVAL_MS',
    fix: 'Set `appendonly yes` in redis.conf.',
  }
}

/** Whether a dotted version comes before another version. A part that is not a number counts as 0. */
function isLower(version: string, other: string): boolean {
  const [ours, theirs] = [version, other].map((text) => text.split('.').map((part) => Number.parseInt(part, 10) || 0))
  for (const [index, part] of (theirs ?? []).entries()) {
    const mine = ours?.[index] ?? 0
    if (mine !== part) return mine < part
  }
  return false
}
