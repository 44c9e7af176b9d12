import { expect, test } from 'vitest'
import { createWaiter, WAITS_MAX, WAITS_PER_PROJECT_MAX } from './waiter.ts'

const never = new AbortController().signal
const HOUR_MS = 3_600_000

/** Waits that record how they ended; a generation's id is the project's id with a number appended. */
function start() {
  const ended = new Set<string>()
  const waiter = createWaiter(
    async (ids) => ids.filter((id) => ended.has(id)),
    (error) => {
      throw error
    },
  )
  const answered: string[] = []
  const refused: string[] = []
  const wait = (project: string, count: number) => {
    for (let n = 0; n < count; n++)
      waiter.wait(project, `${project}${n}`, HOUR_MS, never).then(
        () => answered.push(`${project}${n}`),
        () => refused.push(`${project}${n}`),
      )
  }
  const turn = async () => new Promise((resolve) => setImmediate(resolve))
  return { waiter, ended, answered, refused, wait, turn }
}

test('a project waits up to its share, and again when one of its own has ended', async () => {
  const { waiter, ended, answered, refused, wait, turn } = start()
  wait('a', WAITS_PER_PROJECT_MAX + 3)
  await turn()
  expect([answered.length, refused.length]).toEqual([0, 3])
  ended.add('a7')
  await expect.poll(() => answered).toEqual(['a7'])
  wait('a', 2)
  await turn()
  expect(refused).toHaveLength(4)
  waiter.close()
  await turn()
  expect(answered).toHaveLength(WAITS_PER_PROJECT_MAX + 1)
})

test('however many projects wait, another one finds a place: the oldest wait of the largest is answered', async () => {
  const { waiter, answered, refused, wait, turn } = start()
  for (let n = 0; n < WAITS_MAX / WAITS_PER_PROJECT_MAX; n++) wait(String.fromCharCode(97 + n), WAITS_PER_PROJECT_MAX)
  wait('z', 3)
  await turn()
  expect([answered.length, refused.length]).toEqual([3, 0])
  for (const id of answered) expect(id).toMatch(/^[a-e]0$/)
  waiter.close()
})
