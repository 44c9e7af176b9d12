import { STATUSES, type Status } from '@reelqueue/contract/terms/status'
import { describe, expect, it } from 'vitest'
import { dueStep } from './due-step.ts'

const WITHOUT_ANSWER: Readonly<Record<Status, ReturnType<typeof dueStep>>> = {
  queued: 'submit',
  submitting: 'submit',
  processing: null,
  completed: null,
  failed: null,
  cancelled: null,
}

describe('dueStep', () => {
  it.each(STATUSES)('is the right step for an overdue %s row', (status) => {
    expect(dueStep({ status, hasAnswer: false })).toBe(WITHOUT_ANSWER[status])
  })

  it.each(STATUSES)('is complete for an answered %s row, never a second payment', (status) => {
    expect(dueStep({ status, hasAnswer: true })).toBe('complete')
  })
})
