// The contract of the providers' port, over real HTTP: every adapter tells the same facts in the same way, whatever the
// wire format of its provider.

import { gateSignal } from '@reelqueue/shared/domain/gate-signal'
import type { Upstream } from '@reelqueue/shared/providers/port'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { DIALECTS, type Dialect, TASK_ID, VIDEO_URL, WAIT_MS } from './support/provider-dialects.ts'
import {
  type Act,
  answer,
  closeSilently,
  flood,
  hang,
  PLAIN_REQUEST,
  reset,
  resetMidway,
  startScriptedUpstream,
} from './support/scripted-upstream.ts'

const KEY = 'sk-0123456789abcdef'
const PROMPT = 'a red fox runs through the snow'
const TIMEOUT_MS = 500

describe.each(DIALECTS.map((dialect) => [dialect.provider.name, dialect] as const))(
  'the provider %s',
  (name, dialect) => {
    const { provider } = dialect
    const [model = ''] = provider.models
    const request = { ...PLAIN_REQUEST, model, prompt: PROMPT }
    let server: Awaited<ReturnType<typeof startScriptedUpstream>>
    let upstream: Upstream
    beforeAll(async () => {
      server = await startScriptedUpstream()
    })
    afterAll(() => server.stop())
    beforeEach(() => {
      upstream = provider.open({ baseUrl: server.origin, apiKey: KEY, timeoutMs: TIMEOUT_MS })
    })
    afterEach(() => upstream.close())

    const submit = (act: Act) => {
      server.play(act)
      return upstream.submit(request)
    }
    const poll = (act: Act) => {
      server.play(act)
      return upstream.poll(TASK_ID)
    }

    it('has a name, facts and models', () => {
      expect(upstream.name).toBe(name)
      expect(upstream.facts).toBe(provider.facts)
      expect(provider.models.length).toBeGreaterThan(0)
      const { linkLifeMs, taskMemoryMs, renderMaxMs, pollAdvice } = provider.facts
      for (const ms of [linkLifeMs, taskMemoryMs, renderMaxMs, pollAdvice.intervalMinMs]) expect(ms).toBeGreaterThan(0)
      expect(pollAdvice.intervalMaxMs).toBeGreaterThanOrEqual(pollAdvice.intervalMinMs)
    })

    it('submits once, names the task, and keeps the reply without the key and the prompt', async () => {
      const echo: Act = (response, received) => {
        response.setHeader('x-request-id', `${KEY} ${PROMPT}`)
        dialect.accepted(response, received)
      }
      const outcome = await submit(echo)
      expect(outcome).toMatchObject({ kind: 'accepted', taskId: TASK_ID })
      expect(server.received).toHaveLength(1)
      expect(server.received[0]?.body).toContain(PROMPT)
      expect(outcome.reply?.body).toContain(TASK_ID)
      expect(JSON.stringify(outcome.reply)).not.toMatch(new RegExp(`${KEY}|${PROMPT}`))
    })

    it.each(Object.entries(dialect.refusals))('classes a certain refusal as %s', async (refusalClass, act) => {
      const outcome = await submit(act)
      expect(outcome).toMatchObject({ kind: 'rejected', class: refusalClass })
      expect(server.received).toHaveLength(1)
      const signals = { rate: 'hold', capacity: 'hold', moderation: 'answered' }
      expect(gateSignal(outcome).kind).toBe(signals[refusalClass as keyof typeof signals] ?? 'refusal')
      if (refusalClass === 'rate') expect(outcome).toMatchObject({ retryable: true, retryAfterMs: WAIT_MS })
    })

    it.each([
      ['a closed connection', closeSilently],
      ['a reset connection', reset],
      ['silence', hang],
      ['a server error', answer(500, { message: 'oops' })],
      ['a bad gateway', answer(502, '<html>bad gateway</html>')],
      ['a success without a task', answer(200, {})],
      ['a success that is not JSON', answer(200, 'fine')],
      ['an answer cut in the middle', resetMidway(200, '{"')],
      ['an answer without an end', flood(200, 2_000_000)],
    ])('after %s the outcome of a submission is unknown, and nothing is sent again', async (_, act) => {
      const outcome = await submit(act)
      expect(outcome.kind).toBe('unknown')
      expect(server.received).toHaveLength(1)
      expect(gateSignal(outcome)).toEqual({ kind: 'failure' })
    })

    it('knows that nothing was sent where no server listens', async () => {
      const nowhere = await startScriptedUpstream()
      await nowhere.stop()
      const lost = provider.open({ baseUrl: nowhere.origin, apiKey: KEY, timeoutMs: TIMEOUT_MS })
      expect(await lost.submit(request)).toMatchObject({ kind: 'rejected', class: 'unreachable', retryable: true })
      expect(await lost.poll(TASK_ID)).toMatchObject({ kind: 'unavailable', httpStatus: null })
      expect((await lost.ping()).kind).toBe('silent')
      await lost.close()
    })

    it.each<[string, (of: Dialect) => Act, object]>([
      ['a task that renders', (of) => of.pending, { kind: 'pending', completedWithoutUrl: false }],
      ['a completion without a link', (of) => of.withoutLink, { kind: 'pending', completedWithoutUrl: true }],
      ['a completion', (of) => of.completed, { kind: 'completed', videoUrl: VIDEO_URL, actualDuration: 4 }],
      ['a failed render', (of) => of.failed, { kind: 'failed' }],
      ['a task that it does not know', (of) => of.unknownTask, { kind: 'unavailable', isUnknownTask: true }],
    ])('tells of %s', async (_, act, expected) => {
      expect(await poll(act(dialect))).toMatchObject(expected)
      if ('videoUrl' in expected) {
        expect(await upstream.poll(TASK_ID)).toMatchObject({ linkLifeMs: provider.facts.linkLifeMs })
      }
    })

    it.each([
      ['silence', hang],
      ['a closed connection', closeSilently],
      ['a server error', answer(503, 'busy')],
      ['text that is not JSON', answer(200, 'fine')],
    ])('%s says nothing about a task', async (_, act) => {
      expect(await poll(act)).toMatchObject({ kind: 'unavailable' })
    })

    it('a poll does not take part of an id for a path', async () => {
      server.play(dialect.pending)
      await upstream.poll('a/b?c')
      expect(server.received[0]?.url).toMatch(/\/a%2Fb%3Fc$/)
    })

    it.each<[string, Act]>([
      ['answered', dialect.pong],
      ['refused', dialect.keyRefused],
      ['silent', hang],
      ['unclear', answer(502, '<html>bad gateway</html>')],
    ])('a ping that is %s creates no task', async (kind, act) => {
      server.play(act)
      expect((await upstream.ping()).kind).toBe(kind)
      expect(server.received.map((one) => one.method)).toEqual(['GET'])
    })
  },
)
