import type { PollAnswer } from '@reelqueue/shared/providers/port'
import { describe, expect, it } from 'vitest'
import { createAskTask } from './ask-task.ts'

const PENDING = { kind: 'pending', status: 'processing', completedWithoutUrl: false } as const
const FAILED = { kind: 'failed', code: 'c', message: 'm', cost: null } as const
const UNAVAILABLE = { kind: 'unavailable', httpStatus: 503, code: 'c', message: 'm', retryAfterMs: null } as const

/** No test here uses the database. */
const database = {} as Parameters<typeof createAskTask>[0]['database']

function asking(poll: () => Promise<PollAnswer>) {
  return createAskTask({ database, upstream: { name: 'u', poll }, requestsPerMinute: undefined })
}

describe('asking about a task', () => {
  it('tells what still renders from what has ended', async () => {
    expect(await asking(async () => PENDING)('p', 't')).toBe('rendering')
    expect(await asking(async () => ({ ...PENDING, completedWithoutUrl: true }))('p', 't')).toBe('rendering')
    expect(await asking(async () => FAILED)('p', 't')).toBe('ended')
  })

  it('takes only a plain answer for the word that the task is unknown', async () => {
    const unknown = asking(async () => ({ ...UNAVAILABLE, httpStatus: 404, isUnknownTask: true }))
    await expect(unknown('p', 't')).rejects.toMatchObject({ code: 'upstream_task_unknown' })
    await expect(asking(async () => UNAVAILABLE)('p', 't')).rejects.toMatchObject({ code: 'upstream_unavailable' })
  })

  it.each([
    [null, 10],
    [45_000, 45],
    [86_400_000, 3_600],
  ])('says when to come back: %j ms of the provider make %i s', async (retryAfterMs, retryAfterSeconds) => {
    const late = asking(async () => ({ ...UNAVAILABLE, retryAfterMs }))
    await expect(late('p', 't')).rejects.toMatchObject({ retryAfterSeconds })
  })

  it('asks four questions of a project at once, and takes none away from another', async () => {
    const answers: ((answer: PollAnswer) => void)[] = []
    const ask = asking(() => new Promise((resolve) => answers.push(resolve)))
    const open = Array.from({ length: 4 }, () => ask('one', 't'))
    await expect(ask('one', 't')).rejects.toMatchObject({ code: 'too_many_at_once' })
    const other = ask('other', 't')
    for (const answer of answers) answer(PENDING)
    expect(await Promise.all([...open, other])).toEqual(Array(5).fill('rendering'))
    const again = ask('one', 't')
    answers.at(-1)?.(FAILED)
    expect(await again).toBe('ended')
  })
})
