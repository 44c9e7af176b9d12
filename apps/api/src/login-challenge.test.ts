import { Problem } from '@reelqueue/contract/terms/problem'
import Fastify from 'fastify'
import { describe, expect, it } from 'vitest'
import { leadToLoginPage, withoutLoginPage } from './login-challenge.ts'
import { replyWithProblem } from './problem-reply.ts'

async function answer(path: string, headers: Readonly<Record<string, string>>, hasPage: boolean, method = 'GET') {
  const fastify = Fastify()
  withoutLoginPage(fastify)
  fastify.setErrorHandler(replyWithProblem)
  fastify.all('/*', async () => {
    throw new Problem('operator_login_required')
  })
  if (hasPage) leadToLoginPage(fastify)
  const { statusCode, headers: sent } = await fastify.inject({ method: method as 'GET', url: path, headers })
  const { location, 'www-authenticate': challenge } = sent
  return [statusCode, location ?? challenge?.toString().split(' ')[0]]
}

const page = { accept: 'text/html,*/*' }
const basic = { authorization: 'Basic eDp5' }

describe('a request without a login', () => {
  it.each([
    ['/admin/queues', {}, false, [401, 'Basic']],
    ['/admin/queues', page, false, [401, 'Basic']],
    ['/metrics', {}, true, [401, 'Basic']],
    ['/admin/queues', page, true, [302, '../login?next=admin%2Fqueues']],
    [
      '/admin/queues/queue/poll?page=2',
      page,
      true,
      [302, '../../../login?next=admin%2Fqueues%2Fqueue%2Fpoll%3Fpage%3D2'],
    ],
    ['/', page, true, [302, './login?next=']],
    ['/generations', page, true, [302, './login?next=generations']],
    ['//evil.example/x', page, true, [302, '../../login?next=evil.example%2Fx']],
    ['/admin/queues', { ...page, ...basic }, true, [401, 'Basic']],
    ['/admin/v1/session', {}, false, [401, undefined]],
    ['/admin/v1/session', page, true, [401, undefined]],
    ['/admin/v1/session', basic, true, [401, 'Basic']],
  ] as const)('for %s with %j (a login page: %s) gets %j', async (path, headers, hasPage, expected) => {
    expect(await answer(path, headers, hasPage)).toEqual(expected)
  })

  it('that changes something is never redirected', async () => {
    expect(await answer('/admin/queues', page, true, 'POST')).toEqual([401, undefined])
  })
})
