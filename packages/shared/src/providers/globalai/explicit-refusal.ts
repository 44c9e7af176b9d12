// Whether a reply without an envelope code and without a task is an explicit refusal. The refusal must be in a separate
// field: the request behind a reply that only lacks a task id may have been accepted, and so may a request behind a
// gateway error.

import { wellFormed } from '../http/storable-text.ts'
import { type Body, isFields } from './parse-fields.ts'
import { FAILURE_CODE_PATHS, firstAt, INNER_STATUS_PATHS, OUTER_STATUS_PATHS, REASON_PATHS } from './shapes.ts'

const failed: ReadonlySet<string> = new Set('failed fail failure error rejected denied refused'.split(' '))
/** Error words that do not exclude a rendering task. */
const UNSURE =
  /time[ds]?[\s_-]*out|timeout|internal|gateway|upstream|unavailable|unexpected|unknown|try (it )?again|connection|\b5\d\d\b|超时|重试|稍后|网关|内部/i

/** Whether an error with these words may come from a gateway: the task may be rendering. */
export const mayHideTask = (words: string) => UNSURE.test(wellFormed(words))

/** The provider's code of a certain refusal, `refused` without a code; null: not a refusal. */
export function explicitRefusal({ top }: Body): string | null {
  const word = (value: unknown) => (typeof value === 'string' && value.trim() !== '' ? value.trim() : null)
  const statuses = [...OUTER_STATUS_PATHS, ...INNER_STATUS_PATHS].flatMap((path) => firstAt(top, [path], word) ?? [])
  const saysFailed = statuses.length > 0 && statuses.every((status) => failed.has(status.toLowerCase()))
  // Any other state may be the state of a task.
  if (statuses.length > 0 && !saysFailed) return null
  if (top.success === true || top.ok === true) return null
  const saysNo =
    saysFailed ||
    top.success === false ||
    top.ok === false ||
    isError(top.error) ||
    isList(top.errors) ||
    isList(top.detail)
  if (!saysNo) return null
  const code = firstAt(top, FAILURE_CODE_PATHS, word)
  const said = firstAt(top, REASON_PATHS, (value) =>
    value === undefined || value === null ? null : JSON.stringify(value),
  )
  return mayHideTask(`${code ?? ''} ${said ?? ''}`) ? null : (code ?? 'refused')
}

function isError(value: unknown): boolean {
  if (typeof value === 'string') return value.trim() !== ''
  return isFields(value) && ['message', 'msg', 'code', 'type'].some((name) => isError(value[name]))
}

/** A list of reasons, in the format of field validation errors. */
function isList(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((one) => isError(one) || isFields(one))
}
