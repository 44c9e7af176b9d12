import { expect, test } from 'vitest'
import { report } from './report.ts'

test('findings stand in columns, with what to do about them below', () => {
  const text = report([
    { check: 'clock', level: 'ok', detail: 'within 1 ms', fix: null },
    { check: 'redis_eviction', level: 'wrong', detail: 'the policy is allkeys-lru', fix: 'Set noeviction.' },
    { check: 'upstream', level: 'warning', detail: 'no key', fix: 'Set one.' },
  ])
  expect(text.split('\n')).toEqual([
    '✓ ok       clock           within 1 ms',
    '✗ wrong    redis_eviction  the policy is allkeys-lru',
    '                           → Set noeviction.',
    '! warning  upstream        no key',
    '                           → Set one.',
  ])
})
