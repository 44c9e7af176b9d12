import { describe, expect, it } from 'vitest'
import { type GenerationRow, generationAtEvent, generationJson, toGenerationJson } from './generation.ts'

const at = (time: string) => new Date(`2026-01-02T${time}.000Z`)

const COMPLETED: GenerationRow = {
  id: 'gen_01',
  status: 'completed',
  model: 'openAiSora2Plus',
  prompt: 'a fox',
  size: '1280x720',
  seconds: 8,
  inputReference: ['https://example.com/a.png'],
  batchId: 'batch_01',
  customId: 'c-1',
  metadata: { a: 1 },
  webhookUrl: 'https://example.com/hook',
  priority: 5,
  onUnknownSubmission: 'fail',
  videoUrl: 'https://cdn.example.com/v.mp4',
  videoUrlExpiresAt: new Date('2026-01-03T11:00:00.000Z'),
  actualDuration: 8.042,
  errorCode: null,
  errorMessage: null,
  upstreamTaskId: 'sora_1',
  attempt: 1,
  mayBeCharged: true,
  cancelRequestedAt: null,
  createdAt: at('09:00:00'),
  submittedAt: at('10:00:00'),
  finishedAt: at('12:00:00'),
}
const NOTHING_YET = {
  video_url: null,
  video_url_expires_at: null,
  actual_duration: null,
  error: null,
  upstream_task_id: null,
  attempt: 1,
  may_be_charged: false,
  submitted_at: null,
  finished_at: null,
}

describe('toGenerationJson', () => {
  it('keeps to the published schema', () => {
    const json = toGenerationJson(COMPLETED)
    expect(generationJson.strict().parse(json)).toEqual(json)
    expect(json).toMatchObject({ status: 'completed', error: null, finished_at: '2026-01-02T12:00:00.000Z' })
  })

  it('shows an error whose message is unknown', () => {
    const failed = toGenerationJson({ ...COMPLETED, status: 'failed', errorCode: 'upstream_failed' })
    expect(failed.error).toEqual({ code: 'upstream_failed', message: '' })
  })
})

describe('generationAtEvent', () => {
  it('shows the generation as it was then, whatever has become of the row since', () => {
    const error = { code: 'deadline_exceeded', message: 'too late' }
    const then = {
      status: 'failed',
      error,
      upstream_task_id: 'sora_1',
      submitted_at: '2026-01-02T10:00:00.000Z',
      finished_at: '2026-01-02T11:00:00.000Z',
    }
    expect(generationAtEvent(COMPLETED, then)).toEqual({ ...toGenerationJson(COMPLETED), ...NOTHING_YET, ...then })
  })

  it('shows nothing that was not known at the first event', () => {
    expect(generationAtEvent(COMPLETED, { status: 'queued' })).toEqual({
      ...toGenerationJson(COMPLETED),
      ...NOTHING_YET,
      status: 'queued',
    })
  })

  it('gives the very same text before and after the row has moved on', () => {
    const then = { status: 'processing', upstream_task_id: 'sora_1', submitted_at: '2026-01-02T10:00:00.000Z' }
    const row: GenerationRow = {
      ...COMPLETED,
      status: 'processing',
      videoUrl: null,
      videoUrlExpiresAt: null,
      actualDuration: null,
      finishedAt: null,
    }
    expect(JSON.stringify(generationAtEvent(COMPLETED, then))).toBe(JSON.stringify(generationAtEvent(row, then)))
  })

  it('refuses an event that it cannot read', () => {
    expect(() => generationAtEvent(COMPLETED, { status: 'done' })).toThrow()
  })
})
