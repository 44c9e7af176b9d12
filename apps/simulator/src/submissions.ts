// The record of every create request received, whatever its answer: tests count these records to prove that nothing was paid for twice.
// Bounded in number and size; totals keep counting after the oldest records are dropped.
import { Fifo } from './fifo.ts'

const RECORDS_MAX = 100_000
/** Of request bodies, as received. */
const BYTES_MAX = 128 * 1024 * 1024

interface Submission {
  /** Counts from 1 in the order of arrival. */
  readonly number: number
  /** ISO 8601. */
  readonly at: string
  readonly model: unknown
  readonly prompt: unknown
  /** The whole parsed body; null when the body was not JSON. */
  readonly body: unknown
  /** `accepted`, `unauthorized`, `malformed`, `invalid`, `bad_tag`, or the name of the fault in the answer. */
  readonly outcome: string
  /** The task made by the request, even when the answer hid the task; null: no task. */
  readonly taskId: string | null
}

export class Submissions {
  readonly #records = new Fifo<{ submission: Submission; bytes: number }>(RECORDS_MAX)
  #byOutcome = new Map<string, number>()
  #total = 0
  #bytes = 0

  /** Records one request. `bytes` is the size of its body. */
  add(entry: Pick<Submission, 'body' | 'outcome' | 'taskId'>, bytes: number, nowMs: number): void {
    this.#total += 1
    this.#byOutcome.set(entry.outcome, (this.#byOutcome.get(entry.outcome) ?? 0) + 1)
    const { model = null, prompt = null } = isObject(entry.body) ? entry.body : {}
    const submission = { number: this.#total, at: new Date(nowMs).toISOString(), model, prompt, ...entry }
    this.#bytes += bytes - (this.#records.push({ submission, bytes })?.bytes ?? 0)
    while (this.#bytes > BYTES_MAX && this.#records.size > 1) this.#bytes -= this.#records.shift()?.bytes ?? 0
  }

  list(): Submission[] {
    return this.#records.toArray().map(({ submission }) => submission)
  }

  /** `total` and `byOutcome` cover everything since the last clear, `kept` only the records that `list` still returns. */
  counts(): { total: number; kept: number; byOutcome: Record<string, number> } {
    return { total: this.#total, kept: this.#records.size, byOutcome: Object.fromEntries(this.#byOutcome) }
  }

  clear(): void {
    this.#records.clear()
    this.#byOutcome = new Map()
    this.#total = 0
    this.#bytes = 0
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
