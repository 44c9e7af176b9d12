import { STATUSES, type Status } from '@reelqueue/contract/terms/status'
import { describe, expect, it } from 'vitest'
import { owedStep } from './owed-step.ts'

const WITHOUT_ANSWER: Readonly<Record<Status, ReturnType<typeof owedStep>>> = {
  queued: 'submit',
  submitting: 'submit',
  processing: null,
  completed: null,
  failed: null,
  cancelled: null,
}

describe('owedStep', () => {
  it.each(STATUSES)('wakes the right step for an overdue %s row', (status) => {
    expect(owedStep({ status, hasAnswer: false })).toBe(WITHOUT_ANSWER[status])
  })

  it.each(STATUSES)('sends an answer waiting on a %s row to complete, never to a second payment', (status) => {
    expect(owedStep({ status, hasAnswer: true })).toBe('complete')
  })
})
