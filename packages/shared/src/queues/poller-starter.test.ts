import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createPollerStarter } from './poller-starter.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

it('starts pollers at once, then once a second for all calls in between', () => {
  const add = vi.fn()
  const starter = createPollerStarter(add)
  for (let n = 0; n < 100; n++) starter.start()
  expect(add).toHaveBeenCalledTimes(1)
  vi.advanceTimersByTime(999)
  expect(add).toHaveBeenCalledTimes(1)
  vi.advanceTimersByTime(1)
  expect(add).toHaveBeenCalledTimes(2)
  vi.advanceTimersByTime(10_000)
  expect(add).toHaveBeenCalledTimes(2)
  starter.start()
  expect(add).toHaveBeenCalledTimes(3)
})

it('starts no poller after it is closed', () => {
  const add = vi.fn()
  const starter = createPollerStarter(add)
  starter.start()
  starter.start()
  starter.close()
  vi.advanceTimersByTime(10_000)
  expect(add).toHaveBeenCalledTimes(1)
})

it('starts no poller while pollers are seen to be busy, and starts them again when they rest or are seen no more', () => {
  const add = vi.fn()
  const starter = createPollerStarter(add)
  starter.seen(true)
  starter.start()
  expect(add).not.toHaveBeenCalled()
  starter.seen(false)
  starter.start()
  expect(add).toHaveBeenCalledTimes(1)
  starter.seen(true)
  vi.advanceTimersByTime(5_000)
  starter.start()
  expect(add).toHaveBeenCalledTimes(2)
})
