// The tasks accepted by the simulator. A task's status is computed from timestamps at each request: no task has a timer, so fifty thousand
// rendering tasks cost nothing.
import { randomUUID } from 'node:crypto'
import type { Behaviour, ID_STYLES } from './behaviour.ts'
import type { CreateRequest } from './create-request.ts'
import { Fifo } from './fifo.ts'
import type { Random } from './random.ts'
import { drawRenderTime, splitRenderTime } from './render.ts'
import type { Phase } from './status-words.ts'

/** Beyond this number the oldest tasks are dropped. */
const TASKS_MAX = 200_000

export interface Task {
  readonly id: string
  readonly model: string
  readonly size: CreateRequest['size']
  readonly seconds: CreateRequest['seconds']
  readonly behaviour: Readonly<Behaviour>
  /** All times are Unix milliseconds; `endsAtMs` is Infinity for a stuck task. */
  readonly createdAtMs: number
  processingAtMs: number
  endsAtMs: number
  /** Why the task fails at `endsAtMs`; null: the task completes. */
  failure: string | null
  /** Polls received, and `completed` answers given: the plans in the tags refer to these counts. */
  polls: number
  completedAnswers: number
  terminalTold: boolean
}

/** The status of a task at a moment. A short render may skip `processing`. */
export function phaseAt(task: Task, nowMs: number): Phase {
  if (nowMs >= task.endsAtMs) return task.failure === null ? 'completed' : 'failed'
  return nowMs >= task.processingAtMs ? 'processing' : 'queued'
}

export class Tasks {
  readonly #byId = new Map<string, Task>()
  readonly #order = new Fifo<string>(TASKS_MAX)
  readonly #random: Random
  #speed: number
  #created = 0

  constructor(random: Random, speed: number) {
    this.#random = random
    this.#speed = speed
  }

  get speed(): number {
    return this.#speed
  }

  create(request: CreateRequest, behaviour: Readonly<Behaviour>, nowMs: number): Task {
    const { queuedMs, totalMs } = this.#renderTime(request, behaviour)
    const task: Task = {
      id: newTaskId(behaviour.idStyle),
      model: request.model,
      size: request.size,
      seconds: request.seconds,
      behaviour,
      createdAtMs: nowMs,
      processingAtMs: nowMs + Math.round(queuedMs),
      endsAtMs: behaviour.stuck ? Number.POSITIVE_INFINITY : nowMs + Math.round(totalMs),
      failure: behaviour.failure,
      polls: 0,
      completedAnswers: 0,
      terminalTold: false,
    }
    this.#byId.set(task.id, task)
    this.#created += 1
    const dropped = this.#order.push(task.id)
    if (dropped !== undefined) this.#byId.delete(dropped)
    return task
  }

  /** The task, or undefined for an unknown id and after the task's life (by default 24 h after its end). */
  find(id: string, nowMs: number): Task | undefined {
    const task = this.#byId.get(id)
    return task === undefined || nowMs >= task.endsAtMs + task.behaviour.lifeMs ? undefined : task
  }

  /** Ends a task now, whatever its plan. `failure` null completes the task. */
  end(task: Task, failure: string | null, nowMs: number): void {
    task.failure = failure
    task.endsAtMs = nowMs
  }

  /** Changes the speed of rendering tasks, except tasks with an exact render time, and of all later tasks. */
  setSpeed(speed: number, nowMs: number): void {
    const factor = this.#speed / speed
    for (const task of this.#byId.values()) {
      if (task.endsAtMs <= nowMs || task.behaviour.renderMs !== null) continue
      task.processingAtMs = nowMs + Math.round((task.processingAtMs - nowMs) * factor)
      task.endsAtMs = nowMs + Math.round((task.endsAtMs - nowMs) * factor)
    }
    this.#speed = speed
  }

  /** Tasks ever created, and the number of stored tasks by status. Visits every task: not for a hot path. */
  counts(nowMs: number): Record<Phase | 'created', number> {
    const counts = { created: this.#created, queued: 0, processing: 0, completed: 0, failed: 0 }
    for (const task of this.#byId.values()) counts[phaseAt(task, nowMs)] += 1
    return counts
  }

  #renderTime(request: CreateRequest, behaviour: Readonly<Behaviour>): { queuedMs: number; totalMs: number } {
    const exactMs = behaviour.renderMs ?? (behaviour.failsAtOnce ? 0 : null)
    if (exactMs !== null) return splitRenderTime(exactMs, this.#random)
    const { queuedMs, totalMs } = drawRenderTime(request.model, request.seconds, this.#random)
    return { queuedMs: queuedMs / this.#speed, totalMs: totalMs / this.#speed }
  }
}

/** A new id in one of the observed styles. `odd` needs percent-encoding in a path, as an opaque id may. */
function newTaskId(style: (typeof ID_STYLES)[number]): string {
  const uuid = randomUUID()
  const hex = uuid.replaceAll('-', '')
  switch (style) {
    case 'sora':
      return `sora_${hex.slice(0, 24)}`
    case 'video':
      return `video_${uuid}`
    case 'proj':
      return `proj_${hex.slice(0, 24)}`
    case 'mcp':
      return `mcp_${hex}`
    case 'odd':
      return `odd/${hex}?a=b&c#%2F é+`
  }
}
