import { describe, expect, it } from 'vitest'
import { readCreateRequest } from './create-request.ts'

const GOOD = { model: 'openAiSora2Plus', prompt: 'a fox' }

describe('readCreateRequest', () => {
  it('fills in the defaults', () => {
    expect(readCreateRequest(GOOD)).toEqual({ ...GOOD, size: '720x1280', seconds: 4 })
  })

  it('understands both names of size and length, and ignores unknown fields', () => {
    const body = { ...GOOD, aspect_ratio: '16:9', duration: 12, image_urls: ['https://example.com/a.png'], seed: 1 }
    expect(readCreateRequest(body)).toEqual({ ...GOOD, size: '1280x720', seconds: 12 })
  })

  it.each([
    ['no body', null],
    ['an array', []],
    ['no model', { prompt: 'a fox' }],
    ['an unknown model', { ...GOOD, model: 'sora-2' }],
    ['no prompt', { model: GOOD.model }],
    ['an empty prompt', { ...GOOD, prompt: '' }],
    ['an unknown size', { ...GOOD, size: '1920x1080' }],
    ['an unknown aspect ratio', { ...GOOD, aspect_ratio: '1:1' }],
    ['a length not offered', { ...GOOD, seconds: 5 }],
    ['a length as a string', { ...GOOD, seconds: '8' }],
    ['two images', { ...GOOD, image_urls: ['https://example.com/a.png', 'https://example.com/b.png'] }],
    ['an image that is no web address', { ...GOOD, input_reference: ['ftp://example.com/a.png'] }],
    ['an image outside an array', { ...GOOD, input_reference: 'https://example.com/a.png' }],
    ['size with aspect_ratio', { ...GOOD, size: '1280x720', aspect_ratio: '16:9' }],
    ['duration with seconds', { ...GOOD, duration: 4, seconds: 4 }],
    ['both kinds of image', { ...GOOD, input_reference: [], image_urls: [] }],
  ])('refuses %s', (_what, body) => {
    expect(readCreateRequest(body)).toHaveProperty('problem')
  })
})
