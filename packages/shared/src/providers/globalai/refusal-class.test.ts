import { describe, expect, test } from 'vitest'
import { classifyRefusal } from './refusal-class.ts'

const prompt = 'a red fox runs through the snow'
const read = (httpStatus: number, body: unknown, asked = prompt) =>
  classifyRefusal({ httpStatus, text: typeof body === 'string' ? body : JSON.stringify(body), prompt: asked })
const page = '<html><head><title>404 Not Found</title></head><body><center>nginx</center></body></html>'

describe('a refusal is of class', () => {
  test.each<[number, unknown]>([
    [200, { code: 4001, msg: 'Not enough credits' }],
    [200, { code: 1004, msg: 'Insufficient balance', data: null }],
    [200, { code: 1102, message: 'Account balance not enough' }],
    [200, { code: 1, msg: 'insufficient account credits, top up' }],
    [200, { code: 1, msg: 'Your quota is exhausted.' }],
    [200, { code: 500, msg: '账户余额不足' }],
    [200, { code: 500, msg: '用户已欠费，请充值' }],
    [200, { code: 402, msg: 'x' }],
    [400, { code: 'CreditInsufficient', message: 'no' }],
    [400, { code: 'Arrearage', message: 'Access denied, please make sure your account is in good standing.' }],
    [400, { error: { message: 'Billing hard limit has been reached', code: 'billing_hard_limit_reached' } }],
    [401, { message: 'invalid key' }],
    [402, ''],
    [403, ''],
    [403, { message: 'forbidden' }],
    [403, { detail: 'User is locked. Reason: Exhausted balance. Top up your balance at the site.' }],
    [403, { error: 'Your account has been suspended' }],
    [
      429,
      { error: { message: 'You exceeded your current quota, please check your plan', type: 'insufficient_quota' } },
    ],
    [429, { code: 1102, message: 'Account balance not enough' }],
    [404, { error: 'account balance is insufficient' }],
  ])('account: HTTP %i with %j', (status, body) => {
    expect(read(status, body)).toBe('account')
  })

  test.each<[number, unknown]>([
    [404, page],
    [404, 'Not Found'],
    [404, ''],
    [404, '404 page not found'],
    [404, { error: 'Not Found' }],
    [404, { message: 'No handler found for POST /v1/sora/videos' }],
    [404, { timestamp: 1, status: 404, error: 'Not Found', path: '/v1/sora/videos' }],
    [405, page],
    [405, { detail: 'Method Not Allowed' }],
    [403, page],
    [400, page],
    [301, ''],
    [308, page],
    [401, page],
  ])('configuration: HTTP %i with %j', (status, body) => {
    expect(read(status, body)).toBe('configuration')
  })

  test.each<[number, unknown]>([
    [403, { message: 'content not allowed' }],
    [403, { error: { code: 'content_policy_violation', message: 'no' } }],
    [400, { error: 'Your request was rejected by our safety system' }],
    [422, { detail: [{ type: 'content_policy_violation', msg: 'no' }] }],
    [200, { code: 1026, msg: '内容违规' }],
    [451, ''],
  ])('moderation: HTTP %i with %j', (status, body) => {
    expect(read(status, body)).toBe('moderation')
  })

  test.each<[number, unknown]>([
    [429, ''],
    [425, {}],
    [200, { code: '429', msg: 'slow down' }],
    [200, { code: 1303, msg: 'parallel task over resource pack limit: too many concurrent tasks' }],
    [400, { code: 'Throttling.RateQuota', message: 'Requests rate limit exceeded' }],
    [403, { code: 'RateLimit', message: 'too many requests' }],
  ])('rate: HTTP %i with %j', (status, body) => {
    expect(read(status, body)).toBe('rate')
  })

  test.each<[number, unknown]>([
    [200, { code: 1, msg: 'server is busy' }],
    [200, { code: 'no_available_channel', message: 'No available channel for model' }],
    [400, { error: 'The model is overloaded' }],
  ])('capacity: HTTP %i with %j', (status, body) => {
    expect(read(status, body)).toBe('capacity')
  })

  test.each<[number, unknown]>([
    [200, { code: 1001, msg: 'bad size', data: null }],
    [400, { message: 'a balanced composition is not supported' }],
    [400, { message: 'the prompt "insufficient balance" is too short' }],
    [400, { message: 'the field seconds is forbidden' }],
    [404, { error: { message: 'The model does not exist', code: 'model_not_found' } }],
    [403, { message: 'the image is too large' }],
    [413, {}],
    [422, { detail: [{ loc: ['body', 'size'], msg: 'not allowed here' }] }],
  ])('request: HTTP %i with %j', (status, body) => {
    expect(read(status, body)).toBe('request')
  })

  test.each([
    ['not enough credits', { code: 1, msg: 'cannot draw: a sign that says not enough credits' }],
    ['rate limit', { code: 1, msg: 'bad word in rate limit' }],
    ['Server is busy', { error: 'the text "x: server is busy" is refused' }],
  ])('request when the prompt itself says %j', (asked, body) => {
    expect(read(400, body, `A poster with ${asked}`)).toBe('request')
  })
})
