// The faults of an answer, the written form of a fault (`429`, `reset`, `reject=1001,message`), and the fault of a plan that is due. Prompt
// tags and the control endpoint share the written form.
import { FORMS, type Form } from './forms.ts'

const BODY_FAULTS = ['hang', 'reset', 'html', 'empty', 'nonjson', 'noid', 'truncated', 'stall', 'huge'] as const
type BodyFault = (typeof BODY_FAULTS)[number]

export type Fault =
  /** An HTTP status from 300 to 599. */
  | { readonly kind: 'status'; readonly status: number }
  /** A web page with this HTTP status, as sent by a web server that is not the provider's API. */
  | { readonly kind: 'page'; readonly status: number }
  /** The error page of the CDN in front of the provider: the request never arrived. */
  | { readonly kind: 'cdn'; readonly status: number }
  /** An HTTP status from 400 to 499 with a message. */
  | { readonly kind: 'refuse'; readonly status: number; readonly message: string }
  /** A refusal with HTTP 200: `{"code":…,"msg":…,"data":null}`. */
  | { readonly kind: 'reject'; readonly code: number | string; readonly message: string }
  /** The right answer, late. */
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** The right answer in an odd form. */
  | { readonly kind: 'form'; readonly form: Form }
  | { readonly kind: BodyFault }

export interface PlannedFault {
  readonly fault: Fault
  /** How often; null when the text gave no count. */
  readonly times: number | null
}

/** The largest delay or render time of a tag: 24 h in milliseconds. */
const DELAY_MAX_MS = 86_400_000
const COUNT_MAX = 1_000_000

/** An integer from 0 to `max`; null for any other text. */
export function readInteger(text: string | null, max: number): number | null {
  if (text === null || !/^\d{1,9}$/.test(text)) return null
  const number = Number(text)
  return number <= max ? number : null
}

/** Milliseconds from 0 to 24 h; null for any other text. */
export function readMillis(text: string | null): number | null {
  return readInteger(text, DELAY_MAX_MS)
}

/** A count from 1 to a million; null for any other text. */
export function readCount(text: string | null): number | null {
  const count = readInteger(text, COUNT_MAX)
  return count === 0 ? null : count
}

/** `12` is the number 12; `"12"` in double quotes is a string, as is any text that is not a number. */
export function readScalar(text: string): number | string {
  if (/^".*"$/.test(text)) return text.slice(1, -1)
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
}

/** Reads a fault's name and optional value. Returns null for an unknown fault or an invalid value. */
export function readFault(name: string, value: string | null): PlannedFault | null {
  if (name === 'reject') return readReject(value ?? '1001')
  if (name === 'refuse') return readRefuse(value ?? '403')
  if (name === 'page' || name === 'cdn') {
    const status = readInteger(value ?? (name === 'page' ? '404' : '521'), 599)
    return status === null || status < 400 ? null : { fault: { kind: name, status }, times: null }
  }
  if (name === 'slow') {
    const delayMs = readMillis(value)
    return delayMs === null ? null : { fault: { kind: 'slow', delayMs }, times: null }
  }
  const times = value === null ? null : readCount(value)
  if (value !== null && times === null) return null
  if (/^[345]\d\d$/.test(name)) return { fault: { kind: 'status', status: Number(name) }, times }
  const form = FORMS.find((known) => known === name)
  if (form !== undefined) return { fault: { kind: 'form', form }, times }
  const kind = BODY_FAULTS.find((known) => known === name)
  return kind === undefined ? null : { fault: { kind }, times }
}

/** `CODE` or `CODE,MESSAGE`, optionally followed by `*COUNT`. */
function readReject(value: string): PlannedFault | null {
  const match = /^([^,]*?)(?:,(.*?))?(?:\*(\d+))?$/s.exec(value)
  if (match === null || !match[1]) return null
  const times = match[3] === undefined ? null : readCount(match[3])
  if (match[3] !== undefined && times === null) return null
  return { fault: { kind: 'reject', code: readScalar(match[1]), message: match[2] ?? 'simulated rejection' }, times }
}

/** `STATUS` or `STATUS,MESSAGE`. */
function readRefuse(value: string): PlannedFault | null {
  const match = /^(4\d\d)(?:,(.*))?$/s.exec(value)
  if (match === null) return null
  return { fault: { kind: 'refuse', status: Number(match[1]), message: match[2] ?? 'simulated refusal' }, times: null }
}

const PLAIN_NO: readonly Fault['kind'][] = ['reject', 'refuse', 'page', 'cdn']

/** The fault's short name in the statistics: `429`, `reset`, `reject`… */
export function faultName(fault: Fault): string {
  if (fault.kind === 'form') return fault.form
  return fault.kind === 'status' ? String(fault.status) : fault.kind
}

/** Whether a create request with this answer may have left a task (and a charge): true for every fault except a plain refusal. */
export function mayLeaveTask(fault: Fault): boolean {
  return fault.kind === 'status' ? fault.status >= 500 : !PLAIN_NO.includes(fault.kind)
}

/**
 * The fault for the `index`-th request (from 0) when `plan` is applied in order, each fault as often as its count says. Without a count a
 * fault stays for ever, except 429, which comes once.
 */
export function faultAt(plan: readonly PlannedFault[], index: number): Fault | null {
  let end = 0
  for (const { fault, times } of plan) {
    const once = fault.kind === 'status' && fault.status === 429
    end += times ?? (once ? 1 : Number.POSITIVE_INFINITY)
    if (index < end) return fault
  }
  return null
}
