import { describe, expect, it } from 'vitest'
import { STATUSES, type Status } from '../terms/status.ts'
import { toBatchJson } from './batch.ts'
import { type GenerationRow, toGenerationJson } from './generation.ts'
import { METADATA_BYTES_MAX } from './generation-request.ts'
import {
  batchSubject,
  endpointSubject,
  generationSubject,
  WEBHOOK_BODY_BYTES_MAX,
  WEBHOOK_PAYLOADS,
  webhookBody,
} from './webhook-body.ts'
import { webhookEvent } from './webhook-event.ts'

const AT = new Date('2026-11-25T20:00:00.000Z')
const EVENT = { id: 'evt_1', type: 'generation.failed', sequence: 4, createdAt: AT, data: {} }
const ROW: GenerationRow = {
  id: 'gen_1',
  status: 'failed',
  model: 'openAiSora2Plus',
  prompt: 'a fox',
  size: null,
  seconds: null,
  inputReference: null,
  batchId: 'batch_1',
  customId: 'order 7',
  metadata: null,
  webhookUrl: null,
  priority: 0,
  onUnknownSubmission: 'fail',
  videoUrl: null,
  videoUrlExpiresAt: null,
  actualDuration: null,
  errorCode: 'upstream_failed',
  errorMessage: 'it broke',
  upstreamTaskId: null,
  attempt: 1,
  mayBeCharged: true,
  cancelRequestedAt: null,
  createdAt: AT,
  submittedAt: AT,
  finishedAt: AT,
}
const bodyOf = (row: Partial<GenerationRow>, payload: 'full' | 'thin') =>
  webhookBody(EVENT, generationSubject(toGenerationJson({ ...ROW, ...row })), payload)

const LONG = {
  'a long prompt in Chinese': { prompt: '映'.repeat(32_000), metadata: { notes: '画'.repeat(5_000) } },
  'a prompt of emoji': { prompt: '🦊'.repeat(32_000) },
  'a prompt of characters that JSON escapes': { prompt: '\u0001'.repeat(32_000) },
  'everything as long as it may be': {
    prompt: '🦊'.repeat(32_000),
    customId: '\u0001'.repeat(256),
    metadata: { notes: 'x'.repeat(METADATA_BYTES_MAX) },
    inputReference: [`https://x.example/${'a'.repeat(8_000)}`],
    webhookUrl: `https://x.example/${'a'.repeat(2_000)}`,
    videoUrl: `https://x.example/${'a'.repeat(8_000)}`,
    errorMessage: '\u0001'.repeat(4_000),
  },
}

describe('a body', () => {
  it.each(Object.entries(LONG))('with %s is thin, says why, and is short', (_name, row) => {
    const body = bodyOf(row, 'full')
    expect(Buffer.byteLength(body)).toBeLessThan(4_000)
    expect(JSON.parse(body)).toEqual({
      id: 'evt_1',
      type: 'generation.failed',
      timestamp: AT.toISOString(),
      sequence: 4,
      payload: 'thin',
      payload_reason: 'too_large',
      data: {
        id: 'gen_1',
        object: 'video.generation',
        status: 'failed',
        batch_id: 'batch_1',
        custom_id: 'customId' in row ? row.customId : 'order 7',
        attempt: 1,
        created_at: AT.toISOString(),
        finished_at: AT.toISOString(),
        href: '/v1/generations/gen_1',
      },
    })
  })

  it('is full up to its bound, to the byte', () => {
    const empty = Buffer.byteLength(bodyOf({ prompt: '' }, 'full'))
    const room = WEBHOOK_BODY_BYTES_MAX - empty
    const prompt = '映'.repeat(Math.floor(room / 3)) + 'x'.repeat(room % 3)
    const longest = bodyOf({ prompt }, 'full')
    expect(Buffer.byteLength(longest)).toBe(WEBHOOK_BODY_BYTES_MAX)
    expect(JSON.parse(longest)).not.toHaveProperty('payload')
    expect(JSON.parse(bodyOf({ prompt: `${prompt}x` }, 'full'))).toMatchObject({ payload_reason: 'too_large' })
  })

  it('that was asked to be thin never says what a caller wrote, but for the custom id', () => {
    const body = bodyOf(
      { prompt: 'a secret fox', metadata: { notes: 'a secret' }, videoUrl: 'https://secret/' },
      'thin',
    )
    expect(body).not.toContain('secret')
    expect(JSON.parse(body)).toMatchObject({ payload: 'thin', payload_reason: 'requested', data: { status: 'failed' } })
  })

  it('of a batch is bounded too, and says its counts', () => {
    const counts = Object.fromEntries(STATUSES.map((status) => [status, 1])) as Record<Status, number>
    const row = {
      id: 'batch_1',
      parentId: null,
      total: 6,
      cancelRequestedAt: null,
      wantedPriority: null,
      createdAt: AT,
      completedAt: AT,
    }
    const long = {
      ...row,
      webhookUrl: `https://x.example/${'a'.repeat(2_000)}`,
      metadata: { notes: '画'.repeat(5_400) },
    }
    const event = { ...EVENT, type: 'batch.completed' }
    const full = webhookBody(event, batchSubject(toBatchJson(long, counts)), 'full')
    expect(Buffer.byteLength(full)).toBeLessThan(WEBHOOK_BODY_BYTES_MAX)
    const thin = webhookBody(event, batchSubject(toBatchJson(long, counts)), 'thin')
    expect(JSON.parse(thin).data).toEqual({
      id: 'batch_1',
      object: 'batch',
      status: 'completed',
      parent_batch_id: null,
      total: 6,
      counts,
      created_at: AT.toISOString(),
      completed_at: AT.toISOString(),
      href: '/v1/batches/batch_1',
    })
  })
})

describe('the schema of webhooks', () => {
  const generation = generationSubject(toGenerationJson(ROW))
  const counts = Object.fromEntries(STATUSES.map((status) => [status, 0])) as Record<Status, number>
  const row = {
    id: 'batch_1',
    parentId: null,
    total: 1,
    webhookUrl: null,
    metadata: null,
    createdAt: AT,
    completedAt: AT,
  }
  const batch = batchSubject(toBatchJson({ ...row, cancelRequestedAt: null, wantedPriority: null }, counts))
  const disabled = { endpoint_id: 'ep_1', url: 'https://x.example/', reason: 'HTTP 410', failing_since: null }
  const subjects = {
    'generation.processing': generation,
    'generation.completed': generation,
    'generation.failed': generation,
    'generation.cancelled': generation,
    'batch.completed': batch,
    'endpoint.disabled': endpointSubject(disabled),
    'endpoint.test': endpointSubject({ endpoint_id: 'ep_1' }),
  }

  it.each(Object.entries(subjects))('holds for %s, full and thin, and drops no field', (type, subject) => {
    for (const payload of WEBHOOK_PAYLOADS) {
      const body = JSON.parse(webhookBody({ ...EVENT, type }, subject, payload))
      expect(webhookEvent.parse(body)).toEqual(body)
    }
  })
})
