// Counts the provider's answers by class and adds the counts to Postgres every few seconds: one statement for many
// answers, no statement without answers. A crash loses a few counts of a metric, nothing more.

import { answerClass } from '@reelqueue/shared/domain/kept-reply'
import type { PollAnswer, SubmitOutcome, Upstream } from '@reelqueue/shared/providers/port'
import { pause } from '@reelqueue/shared/runtime/clock'
import type { Logger } from '@reelqueue/shared/runtime/log'
import type { Database } from '@reelqueue/shared/store/database'
import { addAnswerCounts } from '@reelqueue/shared/store/operator/answer-counts'

const EVERY_MS = 5_000
/** Classes of poll answers without information: no reply, or a reply from a server in between. */
const UNANSWERED = ['silence', 'server_error', 'unreadable'] as const

/**
 * The same upstream with counted answers; `recordForever` adds the counts until `signal` aborts, and then adds the
 * rest.
 */
export function countAnswers(upstream: Upstream, { database, log }: { database: Database; log: Logger }) {
  let counts = new Map<string, number>()
  const count = (call: string, ofClass: string) => {
    const key = `${call} ${ofClass}`
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  async function record(): Promise<void> {
    const counted = [...counts]
    counts = new Map()
    try {
      await addAnswerCounts(
        database,
        counted.map(([key, times]) => {
          const [call = '', ofClass = ''] = key.split(' ')
          return { upstream: upstream.name, call, class: ofClass, count: times }
        }),
      )
    } catch (error) {
      log.warn({ event: 'answers.unrecorded', err: error })
    }
    const polls = counted.reduce((sum, [key, times]) => (key.startsWith('poll ') ? sum + times : sum), 0)
    const countOf = (ofClass: string) => counted.find(([key]) => key === `poll ${ofClass}`)?.[1] ?? 0
    const refused = countOf('refused')
    if (refused * 2 > polls) log.warn({ event: 'polls.refused', refused, polls })
    for (const ofClass of UNANSWERED) {
      const unanswered = countOf(ofClass)
      if (unanswered * 2 > polls) log.warn({ event: 'polls.unanswered', code: ofClass, unanswered, polls })
    }
  }
  const counting: Upstream = {
    ...upstream,
    submit: async (request) => {
      const outcome = await upstream.submit(request)
      count('create', classOfCreate(outcome))
      return outcome
    },
    poll: async (taskId) => {
      const answer = await upstream.poll(taskId)
      count('poll', classOfPoll(answer))
      return answer
    },
  }
  return {
    upstream: counting,
    async recordForever(signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        await pause(EVERY_MS, signal)
        await record()
      }
    },
  }
}

function classOfCreate(outcome: SubmitOutcome): string {
  return outcome.kind === 'rejected' ? outcome.class : outcome.kind
}

function classOfPoll(answer: PollAnswer): string {
  if (answer.kind === 'unavailable') return answerClass(answer.httpStatus)
  return answer.kind === 'pending' && answer.completedWithoutUrl ? 'without_url' : answer.kind
}
