// Everything a prompt can request for its task, in normal form. The defaults are the documented, well-behaved upstream.
import type { PlannedFault } from './faults.ts'
import type { Phase } from './status-words.ts'

export const ID_KEYS = ['id', 'task_id', 'taskId', 'data.id', 'data.task_id', 'data.taskId', 'data.projectId'] as const
export const ID_STYLES = ['sora', 'video', 'proj', 'mcp', 'odd'] as const
export const URL_KEYS = [
  'video_url',
  'videoUrl',
  'result_url',
  'content_url',
  'url',
  'data.video_url',
  'data.videoUrl',
  'data.result_url',
  'data.content_url',
  'data.url',
] as const

export interface Behaviour {
  /** Applied in order to the submissions with exactly this prompt. */
  createFaults: PlannedFault[]
  /** Applied in order to the polls of the task. */
  pollFaults: PlannedFault[]
  createDelayMs: number
  pollDelayMs: number
  /** The `Retry-After` header of 429 and 503 answers, verbatim; null: no header. */
  retryAfter: string | null
  /** Whether a create request with a lost answer leaves a task behind. */
  leavesTask: boolean
  /** Exact time from acceptance to the terminal status, whatever the speed; null: a random time. */
  renderMs: number | null
  /** Never reaches a terminal status by itself. */
  stuck: boolean
  /** Why the task fails; null: the task completes. */
  failure: string | null
  failsAtOnce: boolean
  errorAsObject: boolean
  /** The word for each phase in answers. */
  words: Record<Phase, string>
  idKey: (typeof ID_KEYS)[number]
  idStyle: (typeof ID_STYLES)[number]
  urlKey: (typeof URL_KEYS)[number]
  /** The link claims a signature made at the end of the render, valid for this many seconds; null: no such claim. */
  signedForS: number | null
  /** How many `completed` answers come without a URL. */
  answersWithoutUrl: number
  amount: number | string | null
  totalTokens: number | string | null
  /** Answers are wrapped in `{"code":wrapCode,"msg":null,"data":{…}}`; null: not wrapped. */
  wrapCode: number | string | null
  /** Fields without a value are sent as null instead of being absent. */
  nulls: boolean
  /** Polls answer 404 after a terminal status has been reported. */
  forgottenOnceTold: boolean
  /** How long the task and its link outlive the terminal status, in milliseconds. */
  lifeMs: number
  /** The clip is 1256×720, whatever size was requested. */
  oddSize: boolean
}

const DAY_MS = 86_400_000

/** A fresh copy of the well-behaved default. */
export function plainBehaviour(): Behaviour {
  return {
    createFaults: [],
    pollFaults: [],
    createDelayMs: 0,
    pollDelayMs: 0,
    retryAfter: '1',
    leavesTask: true,
    renderMs: null,
    stuck: false,
    failure: null,
    failsAtOnce: false,
    errorAsObject: false,
    words: { queued: 'queued', processing: 'processing', completed: 'completed', failed: 'failed' },
    idKey: 'id',
    idStyle: 'sora',
    urlKey: 'video_url',
    signedForS: null,
    answersWithoutUrl: 0,
    amount: null,
    totalTokens: null,
    wrapCode: null,
    nulls: false,
    forgottenOnceTold: false,
    lifeMs: DAY_MS,
    oddSize: false,
  }
}
