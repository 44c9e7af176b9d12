// Keeps an outage from flooding the log. A repeating failure is written once in ten seconds, with the number of omitted lines. The key is
// the kind of a failure and not its message: messages contain job ids.

/** The window in which one line per kind is written. */
export const SPARING_MS = 10_000
/** How many kinds are tracked at once; further kinds share one entry, so memory stays bounded. */
const KINDS_MAX = 200
const SHAPE_CHARS_MAX = 80

/**
 * The kind of an error: its code and the shape of its first line, without the variable parts (ids, numbers, addresses, quoted names). A
 * Redis reply begins with its own kind, such as OOM, READONLY or MOVED, and needs nothing more.
 */
export function kindOfError(error: unknown): string {
  const { code, name, message } = partsOf(error)
  // Scripts failing inside Redis 6.2 have the reply in the middle of their message.
  const reply = /ACL failure|no permissions to|can't run this command/.test(message)
    ? 'NOPERM'
    : REDIS_REPLY.exec(message)?.[0]
  if (reply !== undefined) return reply
  const line = tellingLine(message)
  const sqlState = /^Raw query failed\. Code: `(\w+)`/.exec(line)?.[1]
  const shape = line
    .replace(/"[^"]*"|'[^']*'|`[^`]*`/g, '#')
    .replace(/\S*\d\S*/g, '#')
    .slice(0, SHAPE_CHARS_MAX)
  return [code ?? name, sqlState, shape].filter(Boolean).join(' ')
}

/** The first line; for Prisma's errors the last line, because the first line only names the called Prisma function. */
function tellingLine(message: string): string {
  const lines = message.trim().split('\n')
  return (lines[0]?.startsWith('Invalid `') ? lines.at(-1) : lines[0]) ?? ''
}

const REDIS_REPLY =
  /\b(OOM|READONLY|MOVED|ASK|CLUSTERDOWN|TRYAGAIN|CROSSSLOT|MISCONF|NOPERM|NOAUTH|WRONGPASS|LOADING|BUSY|MASTERDOWN|UNBLOCKED|NOREPLICAS|NOSCRIPT|EXECABORT)\b/

function partsOf(error: unknown): { code: string | undefined; name: string; message: string } {
  if (!(error instanceof Error)) return { code: undefined, name: '', message: String(error) }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  return { code, name: error.name, message: error.message }
}

export interface Sparing {
  /**
   * Writes at once when the window of this kind is not open. During the window only the latest `write` is kept; `write` is called at the
   * end of the window with the number of lines omitted before.
   */
  say(kind: string, write: (leftOut: number) => void): void
}

/** `everyMs`: the length of the window. */
export function createSparing(everyMs = SPARING_MS): Sparing {
  interface Entry {
    last: ((leftOut: number) => void) | null
    leftOut: number
  }
  const entries = new Map<string, Entry>()

  function openWindow(kind: string, entry: Entry): void {
    setTimeout(() => {
      const { last, leftOut } = entry
      if (last === null) {
        entries.delete(kind)
        return
      }
      entry.last = null
      entry.leftOut = 0
      openWindow(kind, entry)
      last(leftOut)
    }, everyMs).unref()
  }

  return {
    say(given, write) {
      const kind = entries.has(given) || entries.size < KINDS_MAX ? given : 'other'
      const entry = entries.get(kind)
      if (entry) {
        if (entry.last !== null) entry.leftOut++
        entry.last = write
        return
      }
      const opened: Entry = { last: null, leftOut: 0 }
      entries.set(kind, opened)
      openWindow(kind, opened)
      write(0)
    },
  }
}
