import type { Dispatcher } from 'undici'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { exchange } from './exchange.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

const request = { origin: 'http://h', path: '/', method: 'POST' }

/** An agent without a network: the test plays the connection. */
function stalledAgent() {
  const handlers: Dispatcher.DispatchHandler[] = []
  const dispatch = (_options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) =>
    handlers.push(handler) > 0
  return { dispatch, handlers }
}

function controller() {
  return { aborted: false, paused: false, reason: null, abort: vi.fn(), pause: vi.fn(), resume: vi.fn() }
}

test('a request given up while connecting is never written when the connection comes after all', async () => {
  const agent = stalledAgent()
  const noAnswer = exchange(agent, request, 500)
  await vi.advanceTimersByTimeAsync(500)
  expect(await noAnswer).toEqual({ kind: 'silence', sent: false, timedOut: true, cause: 'TIMEOUT', received: '' })
  const late = controller()
  agent.handlers[0]?.onRequestStart?.(late, null)
  expect(late.abort).toHaveBeenCalledOnce()
})

test('a request that was started is never started again', async () => {
  const agent = stalledAgent()
  void exchange(agent, request, 500)
  const [first, second] = [controller(), controller()]
  agent.handlers[0]?.onRequestStart?.(first, null)
  agent.handlers[0]?.onRequestStart?.(second, null)
  expect(first.abort).not.toHaveBeenCalled()
  expect(second.abort).toHaveBeenCalledOnce()
})

test('a request given up after it was started is aborted and counts as sent', async () => {
  const agent = stalledAgent()
  const noAnswer = exchange(agent, request, 500)
  const running = controller()
  agent.handlers[0]?.onRequestStart?.(running, null)
  await vi.runAllTimersAsync()
  expect(await noAnswer).toMatchObject({ sent: true, timedOut: true })
  expect(running.abort).toHaveBeenCalledOnce()
})

test('an interim answer (HTTP 103) is not the answer', async () => {
  const agent = stalledAgent()
  const noAnswer = exchange(agent, request, 500)
  const running = controller()
  const handler = agent.handlers[0]
  handler?.onRequestStart?.(running, null)
  handler?.onResponseStart?.(running, 103, {})
  handler?.onResponseError?.(running, Object.assign(new Error('gone'), { code: 'ECONNRESET' }))
  expect(await noAnswer).toEqual({ kind: 'silence', sent: true, timedOut: false, cause: 'ECONNRESET', received: '' })
})
