import { describe, expect, it } from 'vitest'
import { Submissions } from './submissions.ts'

const entry = (prompt: string) => ({ body: { model: 'm', prompt }, outcome: 'accepted', taskId: null })

describe('Submissions', () => {
  it('keeps the order of arrival and counts by outcome', () => {
    const submissions = new Submissions()
    submissions.add(entry('one'), 10, 0)
    submissions.add({ body: null, outcome: 'malformed', taskId: null }, 10, 1)
    submissions.add(entry('two'), 10, 2)
    expect(submissions.list().map(({ number, prompt }) => [number, prompt])).toEqual([
      [1, 'one'],
      [2, null],
      [3, 'two'],
    ])
    expect(submissions.counts()).toEqual({ total: 3, kept: 3, byOutcome: { accepted: 2, malformed: 1 } })
  })

  it('drops the oldest beyond 100,000 records and goes on counting', () => {
    const submissions = new Submissions()
    for (let number = 1; number <= 102_500; number += 1) submissions.add(entry('x'), 10, 0)
    expect(submissions.counts()).toMatchObject({ total: 102_500, kept: 100_000 })
    expect(submissions.list()[0]?.number).toBe(2501)
  })

  it('drops the oldest beyond 128 MiB of bodies', () => {
    const submissions = new Submissions()
    for (let number = 1; number <= 200; number += 1) submissions.add(entry('x'), 1024 * 1024, 0)
    expect(submissions.counts()).toMatchObject({ total: 200, kept: 128 })
  })

  it('starts from nothing after a clear', () => {
    const submissions = new Submissions()
    submissions.add(entry('one'), 10, 0)
    submissions.clear()
    expect(submissions.list()).toEqual([])
    expect(submissions.counts()).toEqual({ total: 0, kept: 0, byOutcome: {} })
  })
})
