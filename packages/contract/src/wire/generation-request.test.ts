import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { generationRequest, globalAiRequest, normalForm } from './generation-request.ts'

const VALID = { model: 'openAiSora2Plus', prompt: 'a fox' }
const normal = (body: unknown) => normalForm(generationRequest.parse(body))

const NOTHING = {
  size: null,
  seconds: null,
  inputReference: null,
  webhookUrl: null,
  customId: null,
  metadata: null,
  priority: 0,
  onUnknownSubmission: null,
}

describe('normalForm', () => {
  it('fills in what is absent, and reads null as absent', () => {
    expect(normal(VALID)).toEqual({ ...VALID, ...NOTHING })
    const nulls = { size: null, aspect_ratio: null, seconds: null, duration: null, image_urls: null, metadata: null }
    expect(normal({ ...VALID, ...nulls, priority: null, on_unknown_submission: null })).toEqual(normal(VALID))
  })

  it.each([
    ['16:9', '1280x720'],
    ['9:16', '720x1280'],
  ])('reads the aspect ratio %s as %s', (aspect_ratio, size) => {
    expect(normal({ ...VALID, aspect_ratio })).toEqual({ ...VALID, ...NOTHING, size })
  })

  it('is the same for every way of saying the same', () => {
    const image = ['https://example.com/a.png']
    const ways = {
      size: [{ size: '1280x720' }, { aspect_ratio: '16:9' }, { size: null, aspect_ratio: '16:9' }],
      seconds: [{ seconds: 8 }, { duration: 8 }, { seconds: null, duration: 8 }],
      images: [{ input_reference: image }, { image_urls: image }, { input_reference: null, image_urls: image }],
    }
    const way = fc.tuple(
      fc.constantFrom(...ways.size),
      fc.constantFrom(...ways.seconds),
      fc.constantFrom(...ways.images),
    )
    const canonical = JSON.stringify(
      normal({ ...VALID, size: '1280x720', seconds: 8, input_reference: image, custom_id: 'c' }),
    )
    fc.assert(
      fc.property(way, ([size, seconds, images]) => {
        // The order of fields must not matter, because idempotency hashes this text.
        expect(JSON.stringify(normal({ custom_id: 'c', ...images, ...seconds, ...size, ...VALID }))).toBe(canonical)
      }),
    )
  })

  it('keeps what is ours', () => {
    const ours = {
      webhook_url: 'https://example.com/hook',
      custom_id: 'c-1',
      metadata: { deep: [1, null] },
      priority: -100,
      on_unknown_submission: 'resubmit',
    }
    expect(normal({ ...VALID, ...ours })).toMatchObject({
      webhookUrl: ours.webhook_url,
      customId: 'c-1',
      metadata: { deep: [1, null] },
      priority: -100,
      onUnknownSubmission: 'resubmit',
    })
  })

  it('ignores unknown fields only in the shape of the upstream, as the upstream does', () => {
    expect(generationRequest.safeParse({ ...VALID, n: 2 }).success).toBe(false)
    expect(normalForm(globalAiRequest.parse({ ...VALID, n: 2 }))).toEqual(normal(VALID))
  })
})
