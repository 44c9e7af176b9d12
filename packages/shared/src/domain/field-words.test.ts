import { describe, expect, it } from 'vitest'
import { summarise, tell } from './field-words.ts'

const MODELS = ['openAiSora2Plus', 'openAiSora2Pro']

describe('tell', () => {
  it.each([
    [{ field: 'n', rule: 'unknown_field', allowed: ['model', 'size'] }, '`n` is not known; known are `model`, `size`.'],
    [{ field: 'n', rule: 'unknown_field', allowed: null }, '`n` is not known.'],
    [{ field: 'seconds', rule: 'one_of', allowed: [4, 8, 12] }, '`seconds` must be one of `4`, `8`, `12`.'],
    [{ field: 'url', rule: 'http_url', allowed: 'an http URL' }, '`url` must be an http URL.'],
    [{ field: 'prompt', rule: 'max_length', allowed: 32_000 }, '`prompt` may have 32,000 characters.'],
  ])('says of %j: %s', (error, message) => expect(tell(error)).toEqual({ ...error, message }))

  it.each([
    ['items.3.sise', undefined, ['model', 'size'], 'size'],
    ['webhookUrl', undefined, ['webhook_url', 'prompt'], 'webhook_url'],
    ['model', 'openaisora2plus', MODELS, 'openAiSora2Plus'],
    ['model', 'sora-9', MODELS, undefined],
    ['seed', undefined, ['size', 'prompt'], undefined],
    ['x'.repeat(100), undefined, ['prompt'], undefined],
  ])('of %s (%s) means among %j: %s', (field, received, allowed, meant) => {
    const error = { field, rule: 'unknown_field', allowed, ...(received !== undefined && { received }) }
    expect(tell(error).did_you_mean).toBe(meant)
    expect(tell(error)).not.toHaveProperty('received')
  })
})

it('summarise tells the first three, by item, and counts the others', () => {
  const told = [1, 2, 3, 4].map((line) => tell({ field: 'prompt', rule: 'blank', allowed: null, line }))
  expect(summarise(told, 1_204)).toBe(
    'Item 1: `prompt` has no character that can be seen. Item 2: `prompt` has no character that can be seen. Item 3: `prompt` has no character that can be seen. And 1,201 more: see `errors`.',
  )
})
