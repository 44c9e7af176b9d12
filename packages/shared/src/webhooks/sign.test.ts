import { Webhook } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { isWebhookSecret, newWebhookSecret, signWebhook } from './sign.ts'

const body = '{"type":"generation.completed","data":{"prompt":"ein Fuchs 🦊"}}'
const event = { id: 'evt_01', timestamp: new Date(), body }

describe('webhook secrets', () => {
  it('are whsec_ and 32 random bytes in base64', () => {
    const secret = newWebhookSecret()
    expect(Buffer.from(secret.slice('whsec_'.length), 'base64')).toHaveLength(32)
    expect(isWebhookSecret(secret)).toBe(true)
    expect(newWebhookSecret()).not.toBe(secret)
  })

  it.each([
    [24, true],
    [64, true],
    [23, false],
    [65, false],
    [0, false],
  ])('of %i bytes are recognised: %s', (bytes, recognised) => {
    expect(isWebhookSecret(`whsec_${Buffer.alloc(bytes, 1).toString('base64')}`)).toBe(recognised)
  })

  it.each([
    Buffer.alloc(32, 1).toString('base64'),
    `whsec_${Buffer.alloc(32, 0xff).toString('base64url')}`,
    `whsec_${Buffer.alloc(32, 1).toString('base64').replaceAll('=', '')}`,
    `whsec_ ${Buffer.alloc(32, 1).toString('base64')}`,
    'whsec_not base64 at all, but rather long',
  ])('are not mistaken for %j', (text) => {
    expect(isWebhookSecret(text)).toBe(false)
  })
})

describe('signWebhook', () => {
  it('makes headers that the standard library verifies', () => {
    const secret = newWebhookSecret()
    expect(new Webhook(secret).verify(body, signWebhook({ ...event, secrets: [secret] }))).toEqual(JSON.parse(body))
  })

  it('names the event and the whole second of the attempt', () => {
    const headers = signWebhook({ ...event, timestamp: new Date(1_700_000_000_999), secrets: [newWebhookSecret()] })
    expect(headers).toMatchObject({ 'webhook-id': 'evt_01', 'webhook-timestamp': '1700000000' })
  })

  it('signs with every secret, so that either side of a rotation verifies', () => {
    const secrets = [newWebhookSecret(), newWebhookSecret()]
    const headers = signWebhook({ ...event, secrets })
    expect(headers['webhook-signature']).toMatch(/^v1,\S+ v1,\S+$/)
    for (const secret of secrets) expect(() => new Webhook(secret).verify(body, headers)).not.toThrow()
  })

  it('is refused under another secret, for another body, id or time', () => {
    const secret = newWebhookSecret()
    const webhook = new Webhook(secret)
    const headers = signWebhook({ ...event, secrets: [secret] })
    const later = String(Number(headers['webhook-timestamp']) + 1)
    expect(() => new Webhook(newWebhookSecret()).verify(body, headers)).toThrow('No matching signature')
    expect(() => webhook.verify(`${body} `, headers)).toThrow('No matching signature')
    expect(() => webhook.verify(body, { ...headers, 'webhook-id': 'evt_02' })).toThrow('No matching signature')
    expect(() => webhook.verify(body, { ...headers, 'webhook-timestamp': later })).toThrow('No matching signature')
  })

  it('throws rather than sending anything unsigned', () => {
    expect(() => signWebhook({ ...event, secrets: [] })).toThrow('without a secret')
  })
})
