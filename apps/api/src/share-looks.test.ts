import { expect, test } from 'vitest'
import { shareLooks } from './share-looks.ts'

function counted() {
  let [looks, nowMs] = [0, 0]
  const ask = shareLooks(
    async () => ++looks,
    () => nowMs,
  )
  return { ask, looks: () => looks, pass: (ms: number) => (nowMs += ms) }
}

test('three hundred callers at once cost one look', async () => {
  const { ask, looks } = counted()
  expect(new Set(await Promise.all(Array.from({ length: 300 }, ask)))).toEqual(new Set([1]))
  expect(looks()).toBe(1)
})

test('one after the other each has a look of its own, up to ten; from then on there is one a second', async () => {
  const { ask, looks, pass } = counted()
  for (let n = 0; n < 300; n++) {
    await ask()
    pass(1)
  }
  expect(looks()).toBe(10)
  for (let n = 0; n < 600; n++) {
    await ask()
    pass(100)
  }
  expect(looks()).toBeGreaterThanOrEqual(68)
  expect(looks()).toBeLessThanOrEqual(71)
})

test('who asks rarely is told how it is now', async () => {
  const { ask, looks, pass } = counted()
  for (let n = 1; n <= 100; n++) {
    expect(await ask()).toBe(n)
    pass(1_000)
  }
  expect(looks()).toBe(100)
})

test('a look that failed is not kept from the next caller', async () => {
  let fails = true
  const ask = shareLooks(async () => {
    if (fails) throw new Error('away')
    return 'there'
  })
  await expect(ask()).rejects.toThrow('away')
  fails = false
  expect(await ask()).toBe('there')
})
