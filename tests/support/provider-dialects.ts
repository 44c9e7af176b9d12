// What each provider's server says for the same facts: the contract suite plays these answers to the provider's adapter.

import type { RefusalClass } from '@reelqueue/shared/domain/refusal'
import { globalai } from '@reelqueue/shared/providers/globalai/provider'
import type { Provider } from '@reelqueue/shared/providers/port'
import { type Act, answer } from './scripted-upstream.ts'
import { secondProvider } from './second-provider/adapter.ts'

export const TASK_ID = 'task-41'
export const VIDEO_URL = 'https://cdn.example.com/v.mp4?sig=1'
/** The wait that a `rate` refusal names. */
export const WAIT_MS = 7_000

export interface Dialect {
  readonly provider: Provider
  readonly accepted: Act
  readonly pending: Act
  readonly withoutLink: Act
  readonly completed: Act
  readonly failed: Act
  readonly unknownTask: Act
  /** The free request of a ping is answered in order, or the key is refused. */
  readonly pong: Act
  readonly keyRefused: Act
  /** Certain refusals of a create. */
  readonly refusals: Readonly<Record<Exclude<RefusalClass, 'unreachable'>, Act>>
}

const fault = (status: number, kind: string, more = {}) => answer(status, { fault: { kind, words: 'no', ...more } })
const job = (fields: object) => answer(200, { job: { ref: TASK_ID, ...fields } })
const page = answer(404, '<html>nothing here</html>')

export const DIALECTS: readonly Dialect[] = [
  {
    provider: globalai,
    accepted: answer(200, { id: TASK_ID, object: 'video.generation', status: 'queued' }),
    pending: answer(200, { id: TASK_ID, status: 'processing' }),
    withoutLink: answer(200, { id: TASK_ID, status: 'completed' }),
    completed: answer(200, { id: TASK_ID, status: 'completed', video_url: VIDEO_URL, actualDuration: 4 }),
    failed: answer(200, { id: TASK_ID, status: 'failed', error: 'no' }),
    unknownTask: answer(404, { message: 'task not found' }),
    pong: answer(404, { message: 'task not found' }),
    keyRefused: answer(401, { message: 'invalid key' }),
    refusals: {
      request: answer(400, { message: 'size is not allowed' }),
      moderation: answer(400, { message: 'content violates our policies' }),
      account: answer(402, { message: 'insufficient balance' }),
      rate: answer(429, { message: 'rate limit' }, { 'retry-after': String(WAIT_MS / 1_000) }),
      capacity: answer(400, { message: 'no available workers' }),
      configuration: page,
    },
  },
  {
    provider: secondProvider,
    accepted: answer(201, { job: { ref: TASK_ID } }),
    pending: job({ phase: 'drawing' }),
    withoutLink: job({ phase: 'ready' }),
    completed: job({ phase: 'ready', file: { href: VIDEO_URL, seconds: 4 } }),
    failed: job({ phase: 'broken', fault: { kind: 'engine', words: 'no' } }),
    unknownTask: fault(404, 'no_such_job'),
    pong: answer(200, { account: { funds: 1 } }),
    keyRefused: fault(403, 'bad_key'),
    refusals: {
      request: fault(422, 'bad_field'),
      moderation: fault(422, 'forbidden_content'),
      account: fault(422, 'no_funds'),
      rate: fault(422, 'too_fast', { wait_ms: WAIT_MS }),
      capacity: fault(422, 'full'),
      configuration: page,
    },
  },
]
