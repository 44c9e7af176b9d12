// The provider's answers are read, kept and shown unchanged: judged by the form in which the provider sent each answer.

import { FORMS } from '@reelqueue/simulator/forms'
import { type Evidence, groupBy } from '../evidence.ts'

/** Outcomes at the provider whose answer names the task. */
const READABLE: readonly string[] = [...FORMS, 'accepted', 'slow']
/** Error codes for a complete answer that the worker could not read. */
const NOT_READ = ['upstream_unreadable', 'upstream_no_task_id', 'upstream_answer_too_large', 'upstream_contradiction']

export function oddAnswersAreRead({ generations, submissions, received }: Evidence): string[] {
  const answers = groupBy(received, (one) => one.prompt)
  const readable = new Set(
    generations.flatMap(({ id, prompt }) =>
      (answers.get(prompt) ?? []).every(({ outcome }) => READABLE.includes(outcome)) ? [id] : [],
    ),
  )
  return submissions
    .filter((row) => readable.has(row.generationId) && row.errorCode !== null && NOT_READ.includes(row.errorCode))
    .map((row) => `${row.id} of ${row.generationId} could have been read, and is ${row.errorCode}`)
}

export function everyReplyIsKept({ submissions }: Evidence): string[] {
  return submissions
    .filter((row) => row.httpStatus !== null && !row.hasReply)
    .map((row) => `${row.id} of ${row.generationId} was answered HTTP ${row.httpStatus}, and the reply is not kept`)
}

/** The end named by a signed link; null for any other link. */
export function signedUntil(videoUrl: string | null): Date | null {
  const match = /[?&]X-Amz-Date=(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z&X-Amz-Expires=(\d+)/.exec(videoUrl ?? '')
  if (match === null) return null
  const [, year, month, day, hour, minute, second, expires] = match.map(Number)
  const signedAt = Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second)
  return new Date(signedAt + (expires ?? 0) * 1000)
}

export function linksEndWhenTheySay({ generations }: Evidence): string[] {
  return generations.flatMap(({ id, status, videoUrl, videoExpiresAt }) => {
    if (status !== 'completed') return []
    const until = signedUntil(videoUrl)
    const isRight = videoExpiresAt !== null && (until === null || videoExpiresAt <= until)
    return isRight ? [] : [`${id} is said to have its video until ${videoExpiresAt?.toISOString()}: ${videoUrl}`]
  })
}
