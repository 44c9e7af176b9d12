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

test('one after the other each has a look of its own, up to ten in a second', async () => {
  const { ask, looks, pass } = counted()
  for (let n = 0; n < 300; n++) {
    await ask()
    pass(1)
  }
  expect(looks()).toBe(10)
  pass(1_000)
  expect(await ask()).toBe(11)
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
