// Interprets a poll reply. A generation ends only with a known terminal word, and succeeds only with a link. Any other
// reply means "poll again", because a wrong end cannot be undone.

import { linkExpiresAt, statedExpiresAt } from '../../domain/link-expiry.ts'
import type { Cost } from '../../domain/terminal-answer.ts'
import type { Reply } from '../http/reply.ts'
import { storableText } from '../http/storable-text.ts'
import type { PollAnswer } from '../port.ts'
import {
  type Body,
  envelopeError,
  findField,
  parseBody,
  providerMessage,
  readNumber,
  upstreamCode,
} from './parse-fields.ts'
import { classifyRefusal } from './refusal-class.ts'
import {
  at,
  EXPIRY_PATHS,
  FAILURE_CODE_PATHS,
  firstAt,
  INNER_STATUS_PATHS,
  OUTER_STATUS_PATHS,
  VIDEO_URL_PATHS,
} from './shapes.ts'

const UNAVAILABLE_CHARS_MAX = 500
const FAILURE_CHARS_MAX = 2_000
const STATUS_CHARS_MAX = 64
const VIDEO_URL_CHARS_MAX = 4_096
const ACTUAL_DURATION_MAX_S = 86_400

type Meaning = 'pending' | 'completed' | 'failed' | 'cancelled' | 'expired'

// An unknown word means "still running".
const meanings: ReadonlyMap<string, Meaning> = new Map([
  ...words('pending', 'queued processing running generating in_progress pending submitted waiting'),
  ...words('completed', 'completed succeeded succeed success done'),
  ...words('failed', 'failed fail error failure aborted'),
  ...words('cancelled', 'cancelled canceled'),
  ...words('expired', 'expired'),
])

const endings = {
  failed: ['upstream_failed', 'The provider reported a failure without a reason.'],
  cancelled: ['upstream_cancelled', 'The provider cancelled the task.'],
  expired: ['upstream_expired', 'The task expired at the provider.'],
} as const

/** The provider's answer about a task. `secrets` (the key) never appear in a message. */
export function parsePoll(reply: Reply, secrets: readonly string[]): PollAnswer {
  const { httpStatus, retryAfterMs } = reply
  const said = (charsMax: number) => providerMessage(reply.text, charsMax, secrets)
  const unavailable = (code: string, fallback: string): PollAnswer => {
    const message = said(UNAVAILABLE_CHARS_MAX) ?? fallback
    return { kind: 'unavailable', httpStatus, code, message, retryAfterMs, isUnknownTask: saysUnknownTask(reply) }
  }
  if (httpStatus < 200 || httpStatus > 299) {
    return unavailable(`upstream_http_${httpStatus}`, `The provider answered HTTP ${httpStatus}.`)
  }
  const body = parseBody(reply.text)
  if (body === null) {
    return reply.cut === 'timeout'
      ? unavailable('upstream_timeout', "The provider's answer did not arrive in time.")
      : unavailable('upstream_unreadable', "The provider's answer could not be read.")
  }
  const error = envelopeError(body)
  if (error !== null) return unavailable(upstreamCode(error, secrets), 'The provider answered with an error.')
  const status = readStatus(body)
  if (status === null) return unavailable('upstream_no_status', 'The provider answered without a status.')
  if (status === 'contradiction') {
    return unavailable('upstream_contradiction', 'The provider named two statuses that exclude each other.')
  }

  const { meaning, word } = status
  if (meaning === 'pending') return { kind: 'pending', status: word, completedWithoutUrl: false }
  if (meaning !== 'completed') {
    const [ending, fallback] = endings[meaning]
    const code = meaning === 'failed' ? (failureCode(body, reply.text, secrets) ?? ending) : ending
    return { kind: 'failed', code, message: said(FAILURE_CHARS_MAX) ?? fallback, cost: readCost(body) }
  }
  const videoUrl = firstAt(body.top, VIDEO_URL_PATHS, readVideoUrl)
  if (videoUrl === null) return { kind: 'pending', status: word, completedWithoutUrl: true }
  const actualDuration = findField(body, ['actualDuration'], (value) => readNumber(value, ACTUAL_DURATION_MAX_S))
  const expiresAt = readExpiry(body, videoUrl, Date.now())
  const answer = { kind: 'completed', videoUrl, actualDuration, cost: readCost(body) } as const
  return expiresAt === null ? answer : { ...answer, expiresAt: new Date(expiresAt).toISOString() }
}

/** Words for an unknown task, and statuses of a refusal or an envelope that may contain these words. */
const UNKNOWN_TASK =
  /\b(task|job|id|record|generation|video)\b[\w\s'-]{0,40}\b(not[\s_-]*found|not[\s_-]*exists?|unknown|invalid)|(no such|unknown|invalid)[\s_-]+(task|job|id|record|video)|does(n't| not) exist|任务不存在|不存在|未找到|找不到/i
const MAY_SAY_UNKNOWN = [200, 400, 422]

/**
 * Whether the provider itself does not know the task: only in a JSON reply (an HTML page of a web server concerns the
 * address), and never in a reply about the account or its limits.
 */
function saysUnknownTask({ httpStatus, text }: Reply): boolean {
  const body = parseBody(text)
  if (body === null) return false
  if (httpStatus === 404 || httpStatus === 410) return true
  if (!MAY_SAY_UNKNOWN.includes(httpStatus)) return false
  return envelopeError(body) === '404' || UNKNOWN_TASK.test(providerMessage(text, UNAVAILABLE_CHARS_MAX, []) ?? '')
}

/** The earliest expiry named by the link or the reply. */
function readExpiry({ top }: Body, videoUrl: string, nowMs: number): number | null {
  const named = EXPIRY_PATHS.map((path) => statedExpiresAt(at(top, path), /[iI]n$/.test(path.at(-1) ?? ''), nowMs))
  const all = [linkExpiresAt(videoUrl, nowMs), ...named].filter((instant) => instant !== null)
  return all.length === 0 ? null : Math.min(...all)
}

/** The provider's own code, used by callers; a content refusal without a code gets our code. */
function failureCode({ top }: Body, text: string, secrets: readonly string[]): string | null {
  const code = firstAt(top, FAILURE_CODE_PATHS, (value) =>
    typeof value === 'string' && value.trim() !== '' ? value : null,
  )
  if (code !== null) return upstreamCode(code, secrets)
  return classifyRefusal({ httpStatus: 200, text, prompt: '' }) === 'moderation' ? 'content_rejected' : null
}

interface Status {
  readonly word: string
  readonly meaning: Meaning
  readonly known: boolean
}

/**
 * The task's status. With a status on both levels, the outer is usually the envelope's ("success") and the inner the
 * task's. An inner terminal status that contradicts a known outer status is a contradiction, and ends nothing.
 */
function readStatus(body: Body): Status | 'contradiction' | null {
  const outer = firstAt(body.top, OUTER_STATUS_PATHS, statusOf)
  const inner = firstAt(body.top, INNER_STATUS_PATHS, statusOf)
  if (inner === null || outer === null) return inner ?? outer
  if (inner.meaning === 'pending' || !outer.known || outer.meaning === inner.meaning) return inner
  return inner.meaning === 'completed' || outer.meaning === 'pending' ? 'contradiction' : inner
}

function statusOf(value: unknown): Status | null {
  if (typeof value !== 'string') return null
  const word = storableText(value, STATUS_CHARS_MAX, [])
    .toLowerCase()
    .replace(/[\s-]+/g, '_')
  const meaning = meanings.get(word)
  return word === '' ? null : { word, meaning: meaning ?? 'pending', known: meaning !== undefined }
}

/** An http(s) link of bounded length, or null. Printable ASCII stays unchanged: links carry signatures. */
function readVideoUrl(value: unknown): string | null {
  if (typeof value !== 'string' || value.length > VIDEO_URL_CHARS_MAX) return null
  const text = value.trim()
  if (!URL.canParse(text)) return null
  const { protocol, href } = new URL(text)
  if (protocol !== 'http:' && protocol !== 'https:') return null
  const link = /^[\x21-\x7e]+$/.test(text) ? text : href
  return link.length > VIDEO_URL_CHARS_MAX ? null : link
}

function readCost(body: Body): Cost | null {
  const amount = findField(body, ['amount'], (value) => readNumber(value, Number.MAX_SAFE_INTEGER))
  const totalTokens = findField(body, ['totalTokens'], (value) => {
    const tokens = readNumber(value, Number.MAX_SAFE_INTEGER)
    return Number.isInteger(tokens) ? tokens : null
  })
  return amount === null && totalTokens === null ? null : { amount, totalTokens }
}

function words(meaning: Meaning, list: string): [string, Meaning][] {
  return list.split(' ').map((word) => [word, meaning])
}
