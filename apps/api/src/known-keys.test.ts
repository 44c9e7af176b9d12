import { expect, it, vi } from 'vitest'
import { createKnownKeys } from './known-keys.ts'

const PROJECT = {
  id: 'prj_1',
  name: 'one',
  onUnknownSubmission: 'fail',
  maxInFlight: null,
  pausedAt: null,
  createdAt: new Date(0),
} as const

it('a key is recalled for ten seconds after it was found alive, and not once it was found dead', async () => {
  let found: typeof PROJECT | null = PROJECT
  const keys = createKnownKeys(async () => found)
  expect(keys.recall('a')).toBeNull()
  expect(await keys.find('a')).toBe(PROJECT)
  expect(keys.recall('a')).toBe(PROJECT)
  expect(keys.recall('b')).toBeNull()

  const now = performance.now()
  const clock = vi.spyOn(performance, 'now').mockReturnValue(now + 10_001)
  expect(keys.recall('a')).toBeNull()
  clock.mockRestore()

  found = null
  expect(await keys.find('a')).toBeNull()
  expect(keys.recall('a')).toBeNull()
})
