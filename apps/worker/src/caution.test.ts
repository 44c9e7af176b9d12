import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import type { Upstream } from '@reelqueue/shared/upstream/port'
import { describe, expect, it } from 'vitest'
import { createCaution } from './caution.ts'

const request = { model: 'openAiSora2Plus', prompt: 'a fox', size: null, seconds: null, inputReference: null }
const done: StepOutcome = { kind: 'done' }
const turns = async () => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

/** A caution over an upstream that answers as told, and five submissions that end one by one as told. */
function five() {
  let kind = 'unknown'
  const upstream = { submit: async () => ({ kind, taskId: 't' }), poll: async () => ({ kind }) } as unknown as Upstream
  const stopping = new AbortController()
  const caution = createCaution(upstream, stopping.signal)
  const begun: number[] = []
  const ends: ((error?: Error) => void)[] = []
  const outcomes = [0, 1, 2, 3, 4].map((n) =>
    caution.run(async () => {
      begun.push(n)
      await new Promise<void>((resolve, reject) => {
        ends[n] = (error) => (error ? reject(error) : resolve())
      })
      return done
    }),
  )
  const answersWith = (word: string) => {
    kind = word
  }
  return { caution, stopping, begun, ends, outcomes, answersWith }
}

describe('a process that knows nothing of its provider', () => {
  it('submits one at a time, also after one that threw', async () => {
    const { begun, ends, outcomes } = five()
    await turns()
    expect(begun).toEqual([0])
    ends[0]?.(new Error('it broke'))
    await expect(outcomes[0]).rejects.toThrow('it broke')
    await turns()
    expect(begun).toEqual([0, 1])
    ends[1]?.()
    await turns()
    expect(begun).toEqual([0, 1, 2])
  })

  it.each([
    ['accepted', 'submit'],
    ['completed', 'poll'],
  ] as const)('lets all go on as soon as something is %s', async (word, call) => {
    const { caution, begun, answersWith } = five()
    for (const other of ['unknown', 'rejected', 'pending', 'unavailable', 'failed']) {
      answersWith(other)
      await caution.upstream.submit(request)
      await caution.upstream.poll('t')
    }
    await turns()
    expect([begun, caution.isProven()]).toEqual([[0], false])
    answersWith(word)
    await (call === 'submit' ? caution.upstream.submit(request) : caution.upstream.poll('t'))
    await turns()
    expect([begun, caution.isProven()]).toEqual([[0, 1, 2, 3, 4], true])
  })

  it('leaves those that wait to others when it stops', async () => {
    const { begun, ends, outcomes, stopping } = five()
    await turns()
    stopping.abort()
    expect(await Promise.all(outcomes.slice(1))).toEqual(Array(4).fill({ kind: 'later', delayMs: 1_000 }))
    ends[0]?.()
    expect(await outcomes[0]).toEqual(done)
    expect(begun).toEqual([0])
  })
})
