// The polls of a worker that wait for their answers. The runs of its lanes share the places and wait for no single poll: an answer is
// written whenever it comes, also after the run that asked. What is unanswered when the worker stops is handed back.

import { EventEmitter, once } from 'node:events'
import { pause } from '@reelqueue/shared/runtime/clock'
import { takeTurns } from '@reelqueue/shared/runtime/turns'
import { type DuePoll, releasePolls } from '@reelqueue/shared/store/polling'
import type { UpstreamDeps } from './deps.ts'
import { type Answered, writeAnswers } from './write-answers.ts'

/** Polls of one worker that are claimed and not yet written: each lane run of a worker could have a page of its own. */
const PLACES = 200
/** Answers are written together: so many of them, or what has come in this time. */
const WRITE_ROWS = 100
const WRITE_EVERY_MS = 250
/** Statements side by side: one that waits for a lock does not hold up the others, and few take connections. */
const WRITES_AT_ONCE = 3

export interface PollWindow {
  /**
   * Lets `claim` take up to so many generations, as far as places are free: they are kept for it until it has ended.
   * @throws whatever `claim` throws
   */
  reserve<T>(places: number, claim: (places: number) => Promise<T>): Promise<T>
  /** Asks about claimed generations side by side. `isBusy`: requests are better spared. Never waits, never fails. */
  ask(due: readonly DuePoll[], isBusy: boolean): void
  /** Resolves when so many places are free, after a quarter of a second, or at the stop: whatever is first. */
  room(places: number): Promise<void>
  /** Resolves when no place is taken: every answer is written, or handed back. */
  idle(): Promise<void>
}

/** @param stopping from then on nothing is asked, and what is unanswered is handed back */
export function createPollWindow(deps: UpstreamDeps, stopping: AbortSignal): PollWindow {
  const unanswered = new Set<DuePoll>()
  const answered: Answered[] = []
  /** Rows that are being written or handed back. */
  let ending = 0
  /** Places kept for claims that are under way. */
  let reserved = 0
  let timer: NodeJS.Timeout | undefined
  const turns = takeTurns(WRITES_AT_ONCE)
  const events = new EventEmitter()

  const free = () => Math.max(0, PLACES - unanswered.size - answered.length - ending - reserved)

  async function wait(poll: DuePoll, isBusy: boolean): Promise<void> {
    const answer = await deps.upstream.poll(poll.upstreamTaskId)
    // Else it was handed back.
    if (!unanswered.delete(poll)) return
    answered.push({ poll, answer, isBusy })
    if (answered.length >= WRITE_ROWS || unanswered.size === 0) void write()
    else timer ??= setTimeout(write, WRITE_EVERY_MS)
  }

  async function write(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    await turns(async () => {
      const answers = answered.splice(0, WRITE_ROWS)
      await end(answers.length, () => writeAnswers(deps, answers))
    })
  }

  /** What fails here is due again when its claim lapses. */
  async function end(rows: number, act: () => Promise<void>): Promise<void> {
    if (rows === 0) return
    ending += rows
    try {
      await act()
    } catch (error) {
      deps.log.error({ event: 'poll.unwritten', rows, err: error })
    }
    ending -= rows
    events.emit('freed')
  }

  function handBack(polls: readonly DuePoll[]): void {
    const ids = polls.map((poll) => poll.id)
    void end(ids.length, () => releasePolls(deps.database, ids))
  }

  // A stop does not wait for slow answers: nothing was paid for them, and another worker asks again.
  stopping.addEventListener(
    'abort',
    () => {
      handBack([...unanswered])
      unanswered.clear()
      void write()
    },
    { once: true },
  )

  return {
    async reserve(places, claim) {
      const kept = Math.min(places, free())
      reserved += kept
      try {
        return await claim(kept)
      } finally {
        reserved -= kept
        events.emit('freed')
      }
    },
    ask(due, isBusy) {
      if (stopping.aborted) {
        handBack(due)
        return
      }
      for (const poll of due) {
        unanswered.add(poll)
        void wait(poll, isBusy)
      }
    },
    async room(places) {
      const found = new AbortController()
      const look = () => {
        if (free() >= places) found.abort()
      }
      events.on('freed', look)
      look()
      await pause(WRITE_EVERY_MS, AbortSignal.any([found.signal, stopping]))
      events.off('freed', look)
    },
    async idle() {
      while (free() < PLACES) await once(events, 'freed')
    },
  }
}
