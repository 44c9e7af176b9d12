import { describe, expect, it } from 'vitest'
import { createAdmitter } from './admitter.ts'

/** An admission whose runs end when the test resolves them. */
function scripted() {
  const stopping = new AbortController()
  const open: {
    resolve: (result: { admitted: string[]; againMs: number | null }) => void
    reject: (error: Error) => void
  }[] = []
  const enqueued: string[] = []
  const errors: unknown[] = []
  let runs = 0
  const admitter = createAdmitter<string>({
    admit: () => {
      runs++
      return new Promise((resolve, reject) => open.push({ resolve, reject }))
    },
    enqueue: (admitted: readonly string[]) => enqueued.push(...admitted),
    onError: (error) => errors.push(error),
    stopping: stopping.signal,
  })
  const turn = () => new Promise(setImmediate)
  /** The run under way; waits through the pause between two runs. */
  const next = async () => {
    while (open.length === 0) await turn()
    const run = open.shift()
    if (!run) throw new Error('no run is under way')
    return run
  }
  return { admitter, stopping, enqueued, errors, next, turn, runs: () => runs, open: () => open.length }
}

describe('the admitter', () => {
  it('turns any number of calls into one run under way and one to follow', async () => {
    const { admitter, next, turn, runs, open } = scripted()
    for (let call = 0; call < 100; call++) admitter.admit()
    expect(runs()).toBe(1)
    ;(await next()).resolve({ admitted: [], againMs: null })
    // The first run may have missed generations that came during its look.
    while (runs() < 2) await turn()
    expect([runs(), open()]).toEqual([2, 1])
    ;(await next()).resolve({ admitted: [], againMs: null })
    await admitter.idle()
    expect(runs()).toBe(2)

    admitter.admit()
    ;(await next()).resolve({ admitted: [], againMs: null })
    await admitter.idle()
    expect(runs()).toBe(3)
  })

  it('enqueues what each run admitted, and goes on while there may be more', async () => {
    const { admitter, enqueued, next, turn, runs } = scripted()
    admitter.admit()
    ;(await next()).resolve({ admitted: ['a', 'b'], againMs: 0 })
    await turn()
    ;(await next()).resolve({ admitted: ['c'], againMs: null })
    await admitter.idle()
    expect(enqueued).toEqual(['a', 'b', 'c'])
    expect(runs()).toBe(2)
  })

  it('pauses between two runs, so that what asks meanwhile shares the next one', async () => {
    const { admitter, next, turn, runs } = scripted()
    admitter.admit()
    ;(await next()).resolve({ admitted: [], againMs: 0 })
    const startedAt = performance.now()
    while (runs() < 2) await turn()
    expect(performance.now() - startedAt).toBeGreaterThan(15)
    ;(await next()).resolve({ admitted: [], againMs: null })
    await admitter.idle()
  })

  it('survives a failed run: the next call runs again', async () => {
    const { admitter, enqueued, errors, next } = scripted()
    admitter.admit()
    ;(await next()).reject(new Error('no database'))
    await admitter.idle()
    expect(errors).toEqual([new Error('no database')])
    admitter.admit()
    ;(await next()).resolve({ admitted: ['a'], againMs: null })
    await admitter.idle()
    expect(enqueued).toEqual(['a'])
  })

  it('runs again by itself when asked, unless it is stopping', async () => {
    const { admitter, stopping, enqueued, next, turn, runs } = scripted()
    admitter.admit()
    ;(await next()).resolve({ admitted: [], againMs: 5 })
    await admitter.idle()
    while (runs() < 2) await turn()
    ;(await next()).resolve({ admitted: ['a'], againMs: 5 })
    await admitter.idle()
    expect(enqueued).toEqual(['a'])
    stopping.abort()
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(runs()).toBe(2)
  })

  it('is idle at once when nothing was asked for', async () => {
    await scripted().admitter.idle()
  })
})
