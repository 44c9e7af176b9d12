// The state shared by all routes: accepted tasks, received requests, armed faults and the accepted key.
import { createHash } from 'node:crypto'
import { ArmedFaults } from './armed-faults.ts'
import type { Clips } from './clips.ts'
import { Fifo } from './fifo.ts'
import type { Random } from './random.ts'
import { Submissions } from './submissions.ts'
import { Tasks } from './tasks.ts'

/** How many prompts have a count of submissions; beyond this number the counts of the oldest prompts restart at zero. */
const PROMPTS_MAX = 100_000

export class Simulation {
  readonly tasks: Tasks
  readonly submissions = new Submissions()
  readonly armed = new ArmedFaults()
  readonly clips: Clips
  readonly #apiKey: string | null
  #seen = new Map<string, number>()
  readonly #seenOrder = new Fifo<string>(PROMPTS_MAX)
  #polls = new Map<string, number>()

  /** `apiKey` null accepts any non-empty bearer token. */
  constructor(options: { random: Random; speed: number; apiKey: string | null; clips: Clips }) {
    this.tasks = new Tasks(options.random, options.speed)
    this.clips = options.clips
    this.#apiKey = options.apiKey
  }

  /** Whether an `Authorization` header is accepted. */
  authorizes(header: string | undefined): boolean {
    const token = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1]
    return token !== undefined && (this.#apiKey === null || token === this.#apiKey)
  }

  /** Counts a submission of `prompt`; returns the number of earlier submissions. */
  countPrompt(prompt: string): number {
    const key = createHash('sha256').update(prompt).digest('base64')
    const before = this.#seen.get(key)
    if (before === undefined) {
      const dropped = this.#seenOrder.push(key)
      if (dropped !== undefined) this.#seen.delete(dropped)
    }
    this.#seen.set(key, (before ?? 0) + 1)
    return before ?? 0
  }

  countPoll(outcome: string): void {
    this.#polls.set(outcome, (this.#polls.get(outcome) ?? 0) + 1)
  }

  /** All counts, for `GET /control/stats`. */
  stats(nowMs: number): Record<string, unknown> {
    return {
      speed: this.tasks.speed,
      submissions: this.submissions.counts(),
      tasks: this.tasks.counts(nowMs),
      polls: Object.fromEntries(this.#polls),
      armed_faults: this.armed.list(),
    }
  }

  /** Deletes the records and counts of requests; tasks and armed faults stay. */
  clearRequests(): void {
    this.submissions.clear()
    this.#seen = new Map()
    this.#seenOrder.clear()
    this.#polls = new Map()
  }
}
