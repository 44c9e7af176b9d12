import { describe, expect, it } from 'vitest'
import { checkWebhookUrl } from './webhook-url.ts'

describe('checkWebhookUrl', () => {
  it.each(['https://example.com/hook?a=b', 'http://127.0.0.1:8080', 'https://[2001:db8::1]/x', 'HTTPS://EXAMPLE.com'])(
    'accepts %s',
    (raw) => {
      expect(checkWebhookUrl(raw)).toMatchObject({ ok: true, url: new URL(raw) })
    },
  )

  it.each([
    ['', 'malformed'],
    ['example.com/hook', 'malformed'],
    ['/hook', 'malformed'],
    ['http://', 'malformed'],
    ['https://exa mple.com', 'malformed'],
    [' https://example.com', 'malformed'],
    ['https://example.com/a\nb', 'malformed'],
    ['https://example.com/\u0000', 'malformed'],
    ['https://1.2.3.4.5/', 'malformed'],
    ['ftp://example.com', 'scheme'],
    ['file:///etc/passwd', 'scheme'],
    ['javascript:alert(1)', 'scheme'],
    ['unix:/var/run/docker.sock', 'scheme'],
    ['https://user@example.com', 'credentials'],
    ['https://user:secret@example.com', 'credentials'],
    ['https://:secret@example.com', 'credentials'],
    ['http://./hook', 'host'],
    ['https:a.example/hook', 'malformed'],
    ['https:\\\\a.example\\hook', 'malformed'],
    ['https:///a.example/hook', 'malformed'],
  ])('refuses %j: %s', (raw, refusal) => {
    expect(checkWebhookUrl(raw)).toMatchObject({ ok: false, refusal })
  })

  it('accepts 2,048 bytes and refuses one more', () => {
    const longest = 'https://example.com/'.padEnd(2_048, 'x')
    expect(checkWebhookUrl(longest).ok).toBe(true)
    expect(checkWebhookUrl(`${longest}x`)).toMatchObject({ ok: false, refusal: 'too_long' })
    // Counted in bytes, as Postgres stores and indexes the text: three bytes for each character.
    expect(checkWebhookUrl(`https://example.com/${'動'.repeat(1_000)}`)).toMatchObject({ refusal: 'too_long' })
  })

  it('never repeats credentials in its message', () => {
    const checked = checkWebhookUrl('https://user:hunter2@example.com')
    expect(JSON.stringify(checked)).not.toContain('hunter2')
  })
})
