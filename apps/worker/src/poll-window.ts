// The unanswered polls of a worker. Poller runs share the places and do not wait for a single poll: an answer is
// written on arrival, also after the run that asked. A stop hands back unanswered polls.

import { EventEmitter, once } from 'node:events'
import { pause } from '@reelqueue/shared/runtime/clock'
import { takeTurns } from '@reelqueue/shared/runtime/turns'
import { type DuePoll, releasePolls } from '@reelqueue/shared/store/lifecycle/polling'
import type { UpstreamDeps } from './deps.ts'
import { type Answered, writeAnswers } from './write-answers.ts'

/** Limit of claimed polls not yet written; enough for a separate page in each poller run of a worker. */
const PLACES = 200
/** Answers are written together: up to this many rows, or the answers of this interval. */
const WRITE_ROWS = 100
const WRITE_EVERY_MS = 250
/** Parallel statements: a lock wait does not delay the other writes, and few connections are used. */
const WRITES_AT_ONCE = 3

export interface PollWindow {
  /**
   * Lets `claim` take up to `places` generations, limited by the free places. The places stay reserved until the claim
   * ends.
   * @throws the error of `claim`
   */
  reserve<T>(places: number, claim: (places: number) => Promise<T>): Promise<T>
  /**
   * Polls claimed generations in parallel. `isBusy`: the upstream should get fewer requests. Never waits, never fails.
   */
  ask(due: readonly DuePoll[], isBusy: boolean): void
  /** Resolves when `places` places are free, after a quarter of a second, or at the stop, whichever comes first. */
  room(places: number): Promise<void>
  /** Resolves when no place is taken: every answer is written or handed back. */
  idle(): Promise<void>
}

/** @param stopping after the abort nothing is polled, and unanswered polls are handed back */
export function createPollWindow(deps: UpstreamDeps, stopping: AbortSignal): PollWindow {
  const unanswered = new Set<DuePoll>()
  const answered: Answered[] = []
  /** Number of rows being written or handed back. */
  let ending = 0
  /** Places reserved for running claims. */
  let reserved = 0
  let timer: NodeJS.Timeout | undefined
  const turns = takeTurns(WRITES_AT_ONCE)
  const events = new EventEmitter()

  const free = () => Math.max(0, PLACES - unanswered.size - answered.length - ending - reserved)

  async function wait(poll: DuePoll, isBusy: boolean): Promise<void> {
    const answer = await deps.upstream.poll(poll.upstreamTaskId)
    // A poll no longer listed was handed back.
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

  /** After a failure the rows are due again at the end of the claim. */
  async function end(rows: number, act: () => Promise<void>): Promise<void> {
    if (rows === 0) return
    ending += rows
    try {
      await act()
    } catch (error) {
      deps.log.error({ event: 'poll.unrecorded', rows, err: error })
    }
    ending -= rows
    events.emit('freed')
  }

  function handBack(polls: readonly DuePoll[]): void {
    const ids = polls.map((poll) => poll.id)
    void end(ids.length, () => releasePolls(deps.database, ids))
  }

  // A stop does not wait for slow answers: a poll costs nothing, and another worker polls again.
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
