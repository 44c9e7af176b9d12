import { MINIMUM_POSTGRES_VERSION } from 'bullmq'
import { expect, test } from 'vitest'
import { POSTGRES_MAJOR_MIN } from './postgres-findings.ts'

test('a Postgres that the doctor takes is one that BullMQ takes', () => {
  expect(POSTGRES_MAJOR_MIN).toBeGreaterThanOrEqual(MINIMUM_POSTGRES_VERSION)
})
