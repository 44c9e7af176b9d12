// What a refusal by a reachable Redis means and how to repair the cause, in words without addresses, keys or internal
// names.

interface Refusal {
  readonly pattern: RegExp
  readonly words: string
}

/** In order: the message of a failed script contains the reply of the command inside the script. */
const REFUSALS: readonly Refusal[] = [
  { pattern: /\bOOM\b/, words: 'refuses writes (OOM): its memory is full. Raise maxmemory, or free memory' },
  {
    pattern: /\bMISCONF\b/,
    words: 'refuses writes (MISCONF): it cannot save to its disk. Free space there, or correct its `dir`',
  },
  {
    pattern: /\bNOPERM\b|ACL failure|no permissions to|can't run this command/,
    words:
      'refuses a command (NOPERM): the ACL of its user lacks a right. Give it with ACL SETUSER; `npm run doctor` names the command',
  },
  {
    pattern: /\b(READONLY|MASTERDOWN|UNBLOCKED)\b/,
    words:
      'refuses writes (READONLY): it is a replica. Name the primary in REDIS_URL, or promote this one (REPLICAOF NO ONE)',
  },
  {
    pattern: /\b(MOVED|ASK|CLUSTERDOWN|TRYAGAIN|CROSSSLOT)\b/,
    words:
      'refuses commands (MOVED or CLUSTERDOWN): it is a node of a Redis Cluster, which is not supported. Name a single Redis in REDIS_URL, or unset it',
  },
  {
    pattern: /\b(NOAUTH|WRONGPASS)\b|invalid password/,
    words: 'refuses the login (NOAUTH or WRONGPASS): correct user and password in REDIS_URL',
  },
  { pattern: /\bLOADING\b/, words: 'refuses commands (LOADING): it reads its data from disk. Wait until that is done' },
  {
    pattern: /\bBUSY\b/,
    words: 'refuses commands (BUSY): a script of somebody else blocks it. End that with SCRIPT KILL',
  },
  {
    pattern: /\bNOREPLICAS\b/,
    words: 'refuses writes (NOREPLICAS): it has too few replicas. Start them, or lower min-replicas-to-write',
  },
  {
    pattern: /unknown command/i,
    words:
      'does not know a command that the queues need: give it back its name (rename-command); `npm run doctor` names it',
  },
  { pattern: /\bDENIED\b/, words: 'refuses connections (DENIED, protected mode): set a password or protected-mode no' },
]

/** Why Redis refuses, to follow the word "Redis"; null for any other message. */
export function explainRedisRefusal(message: string): string | null {
  return REFUSALS.find(({ pattern }) => pattern.test(message))?.words ?? null
}
