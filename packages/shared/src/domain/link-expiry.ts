// When a signed link stops working, by the link's own query and by a field of the answer. The parameters are from S3
// (versions 2 and 4), CloudFront, Google Cloud Storage, Azure, Aliyun OSS, Tencent COS and Volcengine TOS.

const DAY_MS = 86_400_000
const YEAR_MS = 366 * DAY_MS

/** The moment (ms) at which a link stops working by its own signature; null when the link names no moment. */
export function linkExpiresAt(link: string, nowMs: number): number | null {
  if (!URL.canParse(link)) return null
  const query = new Map([...new URL(link).searchParams].map(([name, value]) => [name.toLowerCase(), value]))
  const ends: (number | null)[] = ['amz', 'goog', 'tos', 'oss', 'obs'].map((vendor) => {
    const from = readInstant(query.get(`x-${vendor}-date`))
    const seconds = readSeconds(query.get(`x-${vendor}-expires`))
    return from === null || seconds === null ? null : from + seconds * 1_000
  })
  for (const name of ['expires', 'expire', 'x-expires', 'se', 'e']) ends.push(readInstant(query.get(name)))
  ends.push(readInstant(query.get('q-sign-time')?.split(';')[1]))
  ends.push(policyEnd(query.get('policy')))
  return earliest(ends, nowMs)
}

/**
 * The moment (ms) that a field of an answer names: seconds or ms since 1970, a date, or seconds from now (`isFromNow`).
 */
export function statedExpiresAt(value: unknown, isFromNow: boolean, nowMs: number): number | null {
  if (typeof value !== 'string' && typeof value !== 'number') return null
  const text = String(value)
  if (!isFromNow) return earliest([readInstant(text)], nowMs)
  const seconds = readSeconds(text)
  return seconds === null ? null : earliest([nowMs + seconds * 1_000], nowMs)
}

/** A moment more than a day ago or years ahead is ignored: the clock is wrong, or the number is not a moment. */
function earliest(ends: readonly (number | null)[], nowMs: number): number | null {
  const sensible = ends.filter((end) => end !== null && end > nowMs - DAY_MS && end < nowMs + 10 * YEAR_MS)
  return sensible.length === 0 ? null : Math.min(...(sensible as number[]))
}

function readSeconds(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,9}(\.\d{1,6})?$/.test(text) ? Number(text) : null
}

function readInstant(text: string | undefined): number | null {
  if (text === undefined) return null
  if (/^\d{9,10}(\.\d{1,9})?$/.test(text)) return Number(text) * 1_000
  if (/^\d{13}$/.test(text)) return Number(text)
  const basic = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text)
  if (basic) return readDate(`${basic[1]}-${basic[2]}-${basic[3]}T${basic[4]}:${basic[5]}:${basic[6]}Z`)
  // A date without a zone is in UTC, as in the answers of these services.
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return null
  return readDate(/(Z|[+-]\d\d:?\d\d)$/i.test(text) || text.length === 10 ? text : `${text.replace(' ', 'T')}Z`)
}

function readDate(text: string): number | null {
  const instant = Date.parse(text)
  return Number.isFinite(instant) ? instant : null
}

/** The end in a policy of CloudFront or S3: JSON in base64 with three characters replaced. */
function policyEnd(text: string | undefined): number | null {
  if (text === undefined || text.length > 8_192) return null
  const decoded = Buffer.from(text.replace(/-/g, '+').replace(/_/g, '=').replace(/~/g, '/'), 'base64').toString()
  const seconds = /"(?:AWS:)?EpochTime"\s*:\s*(\d{9,10})/.exec(decoded)?.[1]
  return seconds === undefined ? null : Number(seconds) * 1_000
}
