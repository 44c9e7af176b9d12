import { describe, expect, it } from 'vitest'
import { type DeliveryRow, toDeliveryJson } from './webhook-delivery.ts'

const SOON = new Date(Date.now() + 600_000)
const PENDING: DeliveryRow = {
  id: 'dlv_1',
  state: 'pending',
  eventId: 'evt_1',
  event: { type: 'generation.completed', generationId: 'gen_1', batchId: null },
  endpointId: null,
  url: 'https://hooks.example/',
  attempts: 0,
  attemptsBefore: 0,
  nextAttemptAt: SOON,
  createdAt: new Date(),
  finishedAt: null,
  isUnwanted: false,
  isBehindOthers: false,
  coolDownUntil: null,
  log: [],
}
const failed = (number: number) => ({
  number,
  createdAt: new Date(),
  durationMs: 1,
  httpStatus: 500,
  errorClass: 'http_status',
  message: 'so it went',
  replySnippet: null,
})

describe('why a delivery is held', () => {
  it.each<[string, Partial<DeliveryRow>, string | null]>([
    ['put off without an attempt: its server rests', {}, 'server_resting'],
    ['delivered anew, and put off', { attempts: 3, attemptsBefore: 3, log: [failed(3)] }, 'server_resting'],
    ['after a failed attempt: by the schedule', { attempts: 2, log: [failed(2)] }, 'retry_scheduled'],
    ['while an attempt is under way: nothing', { attempts: 2, log: [failed(1)] }, null],
    ['while its first attempt is under way: nothing', { attempts: 1 }, null],
    [
      'when it is due, and its server rests',
      { nextAttemptAt: new Date(Date.now() - 1), coolDownUntil: SOON, isBehindOthers: true },
      'server_resting',
    ],
    ['when it is due: nothing', { nextAttemptAt: new Date(Date.now() - 1) }, null],
    ['when it has ended: nothing', { state: 'failed', nextAttemptAt: null, attempts: 1, log: [failed(1)] }, null],
    [
      'after a failed attempt, though others are under way',
      { attempts: 2, log: [failed(2)], isBehindOthers: true },
      'retry_scheduled',
    ],
    [
      'when it has ended and its endpoint is disabled: nothing',
      { state: 'failed', nextAttemptAt: null, isUnwanted: true },
      null,
    ],
  ])('%s', (_, facts, reason) => {
    const { held } = toDeliveryJson({ ...PENDING, ...facts })
    expect(held).toEqual(reason === null ? null : { reason, until: SOON.toISOString() })
  })

  it.each<[string, Partial<DeliveryRow>, string]>([
    [
      'due, while others are under way to its server',
      { nextAttemptAt: new Date(Date.now() - 2_000), isBehindOthers: true },
      'server_busy',
    ],
    [
      'of an endpoint that was disabled, whatever else',
      { isUnwanted: true, attempts: 2, log: [failed(2)] },
      'endpoint_disabled',
    ],
  ])('%s: without a time', (_, facts, reason) => {
    expect(toDeliveryJson({ ...PENDING, ...facts }).held).toEqual({ reason, until: null })
  })
})
