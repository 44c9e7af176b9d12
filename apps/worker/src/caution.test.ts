import type { Upstream } from '@reelqueue/shared/providers/port'
import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import { describe, expect, it } from 'vitest'
import { createCaution } from './caution.ts'

const request = { model: 'openAiSora2Plus', prompt: 'a fox', size: null, seconds: null, inputReference: null }
const done: StepOutcome = { kind: 'done' }
const turns = async () => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

/** A caution over an upstream with answers set by the test, and five submissions that end when the test says so. */
function five() {
  let answer: object = {}
  const submit = async () => ({ kind: 'accepted', taskId: 't' })
  const upstream = {
    submit,
    poll: async () => answer,
    ping: async () => ({ kind: 'tells_of_anything' }),
  } as unknown as Upstream
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
  const answersWith = (one: object) => {
    answer = one
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
    ['a task that renders', { kind: 'pending', status: 'queued' }],
    ['a video', { kind: 'completed' }],
  ])('lets all go on as soon as the provider tells of %s', async (_, tells) => {
    const { caution, begun, answersWith } = five()
    const others = [
      { kind: 'unavailable' },
      { kind: 'failed' },
      { kind: 'pending', status: 'ok' },
      { kind: 'pending', status: 'completed', completedWithoutUrl: true },
    ]
    for (const other of others) {
      answersWith(other)
      await caution.upstream.poll('t')
    }
    answersWith(tells)
    // A server that tells of an invented task shows nothing.
    expect(await caution.upstream.ping()).toEqual({ kind: 'tells_of_anything' })
    // Any server may name a task.
    await caution.upstream.submit(request)
    await turns()
    expect([begun, caution.isProven()]).toEqual([[0], false])
    await caution.upstream.poll('t')
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
