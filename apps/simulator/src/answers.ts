// The JSON answers of the upstream, in the documented shape unless the task's tags request another shape.
import type { Behaviour } from './behaviour.ts'
import { phaseAt, type Task } from './tasks.ts'

type Json = Record<string, unknown>

/** The upstream's own form of a refusal, whatever the HTTP status. */
export function refusal(code: number | string, msg: string): Json {
  return { code, msg, data: null }
}

/** The answer to the create request of `task`. */
export function createAnswer(task: Task): Json {
  const { behaviour } = task
  const [outer, inner] = behaviour.idKey.split('.')
  if (inner !== undefined) return { code: behaviour.wrapCode ?? '0', msg: null, data: { [inner]: task.id } }
  const { id, ...rest } = head(task, behaviour.words.queued)
  return wrapped(behaviour, { [outer ?? 'id']: id, ...rest, ...(behaviour.nulls && { error: null }) })
}

/**
 * The answer to a poll of `task`. Counts the `completed` answers, because a link may appear only after several answers. `videoUrl` is the
 * address of the clip.
 */
export function pollAnswer(task: Task, videoUrl: string, nowMs: number): Json {
  const { behaviour } = task
  const phase = phaseAt(task, nowMs)
  const answer: Json = head(task, behaviour.words[phase])
  if (behaviour.nulls) Object.assign(answer, { video_url: null, error: null })
  if (phase === 'completed') {
    task.completedAnswers += 1
    if (task.completedAnswers > behaviour.answersWithoutUrl) placeUrl(answer, behaviour.urlKey, videoUrl)
    answer.actualDuration = task.seconds + 0.042
  }
  if (phase === 'failed') answer.error = behaviour.errorAsObject ? { message: task.failure } : task.failure
  if (phase === 'completed' || phase === 'failed') {
    task.terminalTold = true
    if (behaviour.amount !== null) answer.amount = behaviour.amount
    if (behaviour.totalTokens !== null) answer.totalTokens = behaviour.totalTokens
  }
  return wrapped(behaviour, answer)
}

function head(task: Task, status: string): Json {
  const created = Math.floor(task.createdAtMs / 1000)
  return { id: task.id, object: 'video.generation', created, model: task.model, status }
}

function placeUrl(answer: Json, key: Behaviour['urlKey'], videoUrl: string): void {
  const [outer = key, inner] = key.split('.')
  answer[outer] = inner === undefined ? videoUrl : { [inner]: videoUrl }
}

function wrapped(behaviour: Readonly<Behaviour>, answer: Json): Json {
  return behaviour.wrapCode === null ? answer : { code: behaviour.wrapCode, msg: null, data: answer }
}
