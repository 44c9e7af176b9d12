import { describe, expect, it } from 'vitest'
import { checkImageUrl, hasPrivateHost } from './image-url.ts'

describe('checkImageUrl', () => {
  it.each([
    ['https://images.example.com/a.png\r\n', 'https://images.example.com/a.png'],
    ['\t https://images.example.com/a.png \u00A0\u200B', 'https://images.example.com/a.png'],
    ['\uFEFFHTTPS://Images.Example.com:443/a b.png', 'https://images.example.com/a%20b.png'],
    ['https://映画.example/狐.png', 'https://xn--liv394a.example/%E7%8B%90.png'],
    ['https://images.example.com', 'https://images.example.com/'],
    ['https://s3.example.com/k?X-Amz-Signature=a%2Fb+c', 'https://s3.example.com/k?X-Amz-Signature=a%2Fb+c'],
  ])('takes %j in its parsed form', (raw, href) => expect(checkImageUrl(raw)).toEqual({ ok: true, href }))

  it('takes 8,192 characters and no more, also when only the parsed form is longer', () => {
    const start = 'https://images.example.com/'
    const longest = start + 'p'.repeat(8_192 - start.length)
    expect(checkImageUrl(longest).ok).toBe(true)
    expect(checkImageUrl(`${longest}p`)).toMatchObject({ ok: false, rule: 'max_length', allowed: 8_192 })
    expect(checkImageUrl(start + '狐'.repeat(2_000))).toMatchObject({ ok: false, rule: 'max_length' })
  })

  it.each([
    'a.png',
    '',
    'ftp://images.example.com/a.png',
    'data:image/png;base64,AAAA',
    'javascript:alert(1)',
    'https://',
    'https://images.example.com/a.png\r\nhttps://images.example.com/b.png',
    'https://images.example.com/a\tb.png',
  ])('refuses %j', (raw) => expect(checkImageUrl(raw)).toMatchObject({ ok: false, rule: 'http_url' }))
})

describe('hasPrivateHost', () => {
  it.each([
    'localhost',
    'LOCALHOST.',
    'a.localhost',
    'minio',
    'nas.local',
    'files.internal',
    'box.home.arpa',
    'router.lan',
    '10.1.2.3',
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '0',
    '100.64.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '198.18.0.1',
    '203.0.113.9',
    '224.0.0.1',
    '255.255.255.255',
    '[::1]',
    '[::]',
    '[fd00::1]',
    '[fe80::1]',
    '[::ffff:10.0.0.1]',
    '[64:ff9b::a00:1]',
    '[2002:a00:1::]',
    '[2001:db8::1]',
    '[2001::1]',
  ])('is true of %s', (host) => expect(hasPrivateHost(`http://${host}/a.png`)).toBe(true))

  it.each([
    'images.example.com',
    'localhost.example.com',
    'local.example.com',
    '8.8.8.8',
    '172.32.0.1',
    '100.128.0.1',
    '192.169.1.1',
    '[2606:4700::1111]',
    '[2001:4860:4860::8888]',
  ])('is false of %s', (host) => expect(hasPrivateHost(`https://${host}/a.png`)).toBe(false))
})
