import { describe, expect, it } from 'vitest'
import { createTargets } from './targets.ts'

function atWork() {
  let now = 0
  const targets = createTargets(() => now)
  const pass = (ms: number) => {
    now += ms
  }
  const silence = (origin: string) => {
    expect(targets.enter(origin)).toEqual({ kind: 'go' })
    return targets.leave(origin, 'silent')
  }
  return { ...targets, pass, silence }
}

describe('a server', () => {
  it('has ten deliveries under way at the most; another server has its own ten', () => {
    const { enter, leave } = atWork()
    for (let n = 0; n < 10; n++) expect(enter('a').kind).toBe('go')
    expect(enter('a').kind).toBe('busy')
    expect(enter('b').kind).toBe('go')
    leave('a', 'answered')
    expect(enter('a').kind).toBe('go')
  })

  it('whose last answer was quick has fifty, until one is not, or does not come', () => {
    for (const conduct of ['answered', 'silent'] as const) {
      const { enter, leave } = atWork()
      enter('a')
      leave('a', 'quick')
      for (let n = 0; n < 50; n++) expect(enter('a').kind).toBe('go')
      expect(enter('a').kind).toBe('busy')
      leave('a', conduct)
      expect(enter('a').kind).toBe('busy')
    }
  })

  it('has room again for each who was told that it is busy, once it answers quickly', () => {
    const { enter, leave, takeRoomAgain } = atWork()
    for (let n = 0; n < 12; n++) enter('a')
    expect(takeRoomAgain('a')).toBe(false)
    leave('a', 'quick')
    expect([1, 2, 3].map(() => takeRoomAgain('a'))).toEqual([true, true, false])
    expect(takeRoomAgain('b')).toBe(false)
  })

  it('has no room again but for the place of whoever asks, which wants to go on', () => {
    const { enter, leave, takeRoomAgain } = atWork()
    for (let n = 0; n < 11; n++) enter('a')
    leave('a', 'answered')
    expect(takeRoomAgain('a')).toBe(false)
    leave('a', 'answered')
    expect(takeRoomAgain('a')).toBe(true)
  })

  it('has no room again while a thousand deliveries are under way to others', () => {
    const { enter, leave, takeRoomAgain } = atWork()
    for (let n = 0; n < 11; n++) enter('a')
    for (let n = 0; n < 991; n++) enter(`other ${n}`)
    leave('a', 'quick')
    expect(takeRoomAgain('a')).toBe(false)
    leave('other 0', 'quick')
    expect(takeRoomAgain('a')).toBe(true)
  })

  it('whose last answer was slow has three, until it is quick again', () => {
    const { enter, leave } = atWork()
    enter('a')
    leave('a', 'slow')
    expect([1, 2, 3, 4].map(() => enter('a').kind)).toEqual(['go', 'go', 'go', 'busy'])
    leave('a', 'answered')
    expect(enter('a').kind).toBe('go')
    expect(enter('a').kind).toBe('go')
  })

  it('that does not answer five times in a row is left alone, each time for longer, up to five minutes', () => {
    const { silence, pass } = atWork()
    for (let n = 0; n < 4; n++) expect(silence('a')).toBeNull()
    const rests = [silence('a')]
    for (let n = 0; n < 5; n++) {
      pass(rests.at(-1) ?? 0)
      rests.push(silence('a'))
    }
    expect(rests).toEqual([30_000, 60_000, 120_000, 240_000, 300_000, 300_000])
  })

  it('is tried by one for all after its rest, and trusted again once it answers', () => {
    const { enter, leave, silence, pass } = atWork()
    for (let n = 0; n < 5; n++) silence('a')
    pass(30_000)
    expect(enter('a').kind).toBe('go')
    expect(enter('a').kind).toBe('busy')
    leave('a', 'answered')
    for (let n = 0; n < 10; n++) expect(enter('a').kind).toBe('go')
    for (let n = 0; n < 4; n++) leave('a', 'silent')
    expect(enter('a').kind).toBe('go')
  })

  it('tells once that somebody was turned away', () => {
    const { enter, takeTurnedAway } = atWork()
    for (let n = 0; n < 10; n++) enter('a')
    expect(takeTurnedAway('a')).toBe(false)
    enter('a')
    expect([takeTurnedAway('a'), takeTurnedAway('a'), takeTurnedAway('b')]).toEqual([true, false, false])
  })

  it('is neither trusted nor given up by an attempt that did not ask it', () => {
    const { enter, leave, silence, pass } = atWork()
    for (let n = 0; n < 5; n++) silence('a')
    pass(30_000)
    enter('a')
    leave('a', 'unknown')
    expect(enter('a').kind).toBe('go')
    expect(enter('a').kind).toBe('busy')
    expect(leave('a', 'silent')).toBe(60_000)
  })

  it('is left alone once for all that were under way to it', () => {
    const { enter, leave } = atWork()
    for (let n = 0; n < 10; n++) enter('a')
    const rests = Array.from({ length: 10 }, () => leave('a', 'silent'))
    expect(rests.filter((rest) => rest !== null)).toEqual([30_000])
  })
})
