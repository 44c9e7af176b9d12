// Nothing is paid twice, and the ledger records every possible payment: judged by the provider's received requests.

import { type Evidence, groupBy, type SubmissionRow } from '../evidence.ts'

/** Requests that may have made a task for one attempt: the first request, and a second request where the caller allowed a resubmission. */
const allowedFor = (policy: 'fail' | 'resubmit') => (policy === 'resubmit' ? 2 : 1)

/** By prompt: a generation that a batch's retry creates has the same prompt as the failed generation. */
export function paidOnce({ generations, received }: Evidence): string[] {
  const tasks = groupBy(received, (one) => (one.taskId === null ? null : one.prompt))
  return [...groupBy(generations, (row) => row.prompt)].flatMap(([prompt, rows]) => {
    const paid = tasks.get(prompt)?.length ?? 0
    const allowed = rows.reduce((sum, { attempt, policy }) => sum + attempt * allowedFor(policy), 0)
    return paid <= allowed ? [] : [`${idsOf(rows)} was paid ${paid} times, ${allowed} allowed: ${prompt}`]
  })
}

const idsOf = (rows: readonly { readonly id: string }[]) => rows.map((row) => row.id).join(' and ')

export function eachAttemptIsSubmittedOnce({ generations, submissions }: Evidence): string[] {
  const policies = new Map(generations.map((row) => [row.id, row.policy]))
  const attempts = groupBy(submissions, (row) =>
    row.isAdopted || row.state === 'rejected' ? null : `${row.generationId} attempt ${row.attempt}`,
  )
  return [...attempts].flatMap(([name, rows]) => {
    const allowed = allowedFor(policies.get(rows[0]?.generationId ?? '') ?? 'fail')
    return rows.length <= allowed ? [] : [`${name}: ${rows.length} submissions may have been taken, ${allowed} allowed`]
  })
}

/** Both times come from the same clock; their milliseconds are rounded differently. */
const ROUNDING_MS = 2

export function ledgerPrecedesEveryRequest({ generations, submissions, received }: Evidence): string[] {
  const askedFor = groupBy(generations, (row) => row.prompt)
  const ledger = groupBy(submissions, (row) => row.generationId)
  return [...groupBy(received, (one) => one.prompt)].flatMap(([prompt, requests]) => {
    const rows = askedFor.get(prompt)
    if (rows === undefined) return [`the provider was asked for what nobody accepted: ${prompt}`]
    const intents = rows.flatMap((row) => ledger.get(row.id) ?? [])
    return requests.flatMap(({ at }, index) => {
      const before = intents.filter((row) => row.startedAt.getTime() <= Date.parse(at) + ROUNDING_MS).length
      return before > index ? [] : [`${idsOf(rows)}: request ${index + 1} at ${at} with ${before} intents before it`]
    })
  })
}

export function ledgerIsSettled({ submissions }: Evidence): string[] {
  return submissions.filter((row) => row.state === 'started').map((row) => `${row.id} of ${row.generationId} is open`)
}

export function ledgerNamesTheRightTasks({ generations, submissions, received }: Evidence): string[] {
  const prompts = new Map(generations.map((row) => [row.id, row.prompt]))
  const made = new Map(received.map((one) => [one.taskId, one.prompt]))
  const isRight = (row: SubmissionRow) => made.get(row.taskId) === prompts.get(row.generationId)
  return submissions
    .filter((row) => row.state === 'accepted' && !isRight(row))
    .map((row) => `${row.id} of ${row.generationId} names the task ${row.taskId}, which is another's`)
}

export function completedHasTheVideoOfItsTask({ generations, submissions }: Evidence): string[] {
  // An adopted task may have gone to the submission that made the task, after completing the generation.
  const own = new Set(submissions.map((row) => `${row.generationId} ${row.reclaimedTaskId ?? row.taskId}`))
  return generations.flatMap(({ id, status, taskId, videoUrl }) => {
    if (status !== 'completed') return []
    const isRight = taskId !== null && own.has(`${id} ${taskId}`) && videoUrl?.includes(encodeURIComponent(taskId))
    return isRight ? [] : [`${id} is completed by the task ${taskId} with the video ${videoUrl}`]
  })
}

/** A killed worker may lose an answer received less than this long before. */
const RECORDING_MAX_MS = 30_000

export function everyAnswerIsRecorded({ answers, submissions }: Evidence): string[] {
  const recorded = new Set(submissions.map((row) => row.taskId))
  return answers.flatMap(({ taskId, atMs, life }) => {
    const wasKilled = life.endedBy === 'kill' || life.endedBy === 'mine'
    const mayBeLost = wasKilled && life.endedAtMs - atMs < RECORDING_MAX_MS
    return recorded.has(taskId) || mayBeLost
      ? []
      : [`${life.name} was told of the task ${taskId} and did not record it`]
  })
}

/** The provider has the video of a generation that failed at its deadline: the late success must have been settled. */
export function lateSuccessIsSettled({ generations, received }: Evidence): string[] {
  const endless = /\[sim:(stuck|fail|nourl\])/
  return generations
    .filter((row) => row.errorCode === 'deadline_exceeded' && !endless.test(row.prompt))
    .filter((row) => received.some((one) => one.taskId === row.taskId))
    .map((row) => `${row.id} failed for its lateness, and the provider has its video (${row.waits}): ${row.prompt}`)
}
