// Reads what the answer about a task that was never made shows about the provider.

import type { Ping } from '../../domain/ping.ts'
import type { PollAnswer } from '../port.ts'

/** The provider names no task so. */
export const NO_TASK = 'reelqueue-probe'

const SILENT = /^upstream_(unreachable|timeout|connection_lost)$/
const UNCLEAR = /^upstream_(unreadable|answer_too_large|http_5\d\d)$/
const REFUSED = /^upstream_(http_)?40[13]$/

/** Any "no such task", in whatever words, is an answer: the provider's words for an unknown task are not documented. */
export function readPing(answer: PollAnswer): Ping {
  if (answer.kind !== 'unavailable') return { kind: 'tells_of_anything', code: null, message: '' }
  const { code, message } = answer
  const kind = SILENT.test(code)
    ? 'silent'
    : UNCLEAR.test(code)
      ? 'unclear'
      : REFUSED.test(code)
        ? 'refused'
        : 'answered'
  return { kind, code, message }
}
