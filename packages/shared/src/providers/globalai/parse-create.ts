// Interprets a create reply. The only question: can the request have been charged? Rejected needs an explicit refusal,
// accepted needs a task id, everything in between is unknown. A wrong guess costs money.

import { isTaskId } from '@reelqueue/contract/terms/task-id'
import type { RefusalClass } from '../../domain/refusal.ts'
import { neverReachedOrigin } from '../http/cdn.ts'
import { whatCame } from '../http/find-json.ts'
import type { Reply } from '../http/reply.ts'
import { storableText } from '../http/storable-text.ts'
import type { SubmitOutcome } from '../port.ts'
import { explicitRefusal, mayHideTask } from './explicit-refusal.ts'
import { type Body, bodyOf, envelopeError, parseBody, providerMessage, upstreamCode } from './parse-fields.ts'
import { classifyRefusal } from './refusal-class.ts'
import { BESIDE_REQUEST_ID, firstAt, TASK_ID_PATHS } from './shapes.ts'

const MESSAGE_CHARS_MAX = 500

// Statuses that refuse this request. 408 and 409 are excluded on purpose: both can follow an accepted request.
const refusals: ReadonlySet<number> = new Set([
  400, 401, 402, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 425, 429, 431, 451,
])
const FOR_NOW: ReadonlySet<RefusalClass> = new Set(['rate', 'capacity', 'unreachable'])

/**
 * The outcome of an answered submission. `secrets` (key, prompt) never appear in the message; words of the `prompt` do
 * not affect the refusal class.
 */
export function parseCreate(reply: Reply, secrets: readonly string[], prompt = ''): SubmitOutcome {
  const { httpStatus, retryAfterMs } = reply
  const said = () => providerMessage(reply.text, MESSAGE_CHARS_MAX, secrets)
  // A refusal for the account, a wrong address or a temporary reason may succeed later and must not fail the
  // generation.
  const rejected = (code: string, message: string, decided?: RefusalClass): SubmitOutcome => {
    const refusalClass = decided ?? classifyRefusal({ httpStatus, text: reply.text, prompt })
    const retryable = FOR_NOW.has(refusalClass)
    const failure = refusalClass === 'moderation' ? 'content_rejected' : code
    const after = retryable ? retryAfterMs : null
    return { kind: 'rejected', class: refusalClass, code: failure, message, httpStatus, retryable, retryAfterMs: after }
  }
  const unknown = (code: string, message: string): SubmitOutcome => ({ kind: 'unknown', code, message, httpStatus })

  const byStatus = () => said() ?? `The provider answered HTTP ${httpStatus}.`
  if (refusals.has(httpStatus)) return rejected(`upstream_http_${httpStatus}`, byStatus())
  if (httpStatus >= 300 && httpStatus < 400) {
    const message = `The provider answered with a redirect (HTTP ${httpStatus}), which is not followed: check the base URL.`
    return rejected(`upstream_http_${httpStatus}`, message)
  }
  if (neverReachedOrigin(httpStatus, reply.isCloudflare ?? false, reply.text)) {
    const message = `The CDN in front of the provider could not reach it (HTTP ${httpStatus}); the request never arrived.`
    return rejected('upstream_unreachable', message, 'unreachable')
  }
  if (httpStatus < 200 || httpStatus > 299) return unknown(`upstream_http_${httpStatus}`, byStatus())

  const text = quoteLongIds(reply.text)
  // From a reply above the size limit the complete fields are read: a named task was paid for.
  const body = parseBody(text) ?? (reply.cut === 'too_large' ? bodyOf(whatCame(text)) : null)
  if (body === null) return unknown(...unreadable[reply.cut ?? 'whole'])
  const taskId = readTaskId(body)
  const code = envelopeError(body)
  if (taskId !== null && code === null) return { kind: 'accepted', taskId }
  if (taskId !== null) {
    const message = `The provider named the task ${taskId} and the error ${code} at once: ${said() ?? 'no message'}`
    return unknown('upstream_contradiction', storableText(message, MESSAGE_CHARS_MAX, secrets))
  }
  const refusal = code === null ? explicitRefusal(body) : null
  if (refusal !== null && reply.cut !== 'too_large') {
    return rejected(upstreamCode(refusal, secrets), said() ?? 'The provider refused without a message.')
  }
  if (code === null) return unknown('upstream_no_task_id', said() ?? 'The provider answered without a task id.')
  const refused = rejected(upstreamCode(code, secrets), said() ?? 'The provider refused without a message.')
  // An envelope may carry a server error while the task is rendering: not a refusal.
  const isServerError = refused.kind === 'rejected' && /^5\d\d$/.test(code) && isUnsure(refused.class, refused.message)
  return isServerError ? unknown(refused.code, refused.message) : refused
}

const isUnsure = (refusalClass: RefusalClass, message: string) =>
  refusalClass === 'capacity' || (refusalClass === 'request' && mayHideTask(message))

const unreadable: Record<NonNullable<Reply['cut']> | 'whole', [code: string, message: string]> = {
  whole: ['upstream_unreadable', 'The provider answered with something that is not a JSON object.'],
  timeout: ['upstream_timeout', "The provider's answer did not arrive in time."],
  connection_lost: ['upstream_connection_lost', "The connection was lost in the middle of the provider's answer."],
  too_large: ['upstream_answer_too_large', "The provider's answer is too large to read."],
}

/** The task id under any known name: a bounded string without control characters, or a positive integer. */
function readTaskId({ top }: Body): string | null {
  const taskId = firstAt(top, TASK_ID_PATHS, readId)
  if (taskId !== null) return taskId
  return Object.keys(top).every((name) => BESIDE_REQUEST_ID.has(name)) ? readId(top.request_id) : null
}

function readId(value: unknown): string | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value > 0 ? String(value) : null
  return typeof value === 'string' && isTaskId(value) ? value : null
}

/** Quotes ids of 16 digits and more, because JSON.parse would round such an id to another task's id. */
function quoteLongIds(text: string): string {
  return text.replace(/("(?:id|task_id|taskId|projectId|video_id)"\s*:\s*)([1-9]\d{15,})(?=\s*[,}])/g, '$1"$2"')
}
