import { describe, expect, it } from 'vitest'
import { createOrigins } from './origins.ts'

function atWork() {
  let now = 0
  const origins = createOrigins(() => now)
  const pass = (ms: number) => {
    now += ms
  }
  const fail = (origin: string) => {
    expect(origins.enter(origin)).toEqual({ kind: 'go' })
    return origins.leave(origin, 'silent')
  }
  return { ...origins, pass, fail }
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
    for (const health of ['answered', 'silent'] as const) {
      const { enter, leave } = atWork()
      enter('a')
      leave('a', 'quick')
      for (let n = 0; n < 50; n++) expect(enter('a').kind).toBe('go')
      expect(enter('a').kind).toBe('busy')
      leave('a', health)
      expect(enter('a').kind).toBe('busy')
    }
  })

  it('has room for each delivery that was rejected as busy, once it answers quickly', () => {
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

  it('that does not answer five times in a row cools down, each time for longer, up to five minutes', () => {
    const { fail, pass } = atWork()
    for (let n = 0; n < 4; n++) expect(fail('a')).toBeNull()
    const coolDowns = [fail('a')]
    for (let n = 0; n < 5; n++) {
      pass(coolDowns.at(-1) ?? 0)
      coolDowns.push(fail('a'))
    }
    expect(coolDowns).toEqual([30_000, 60_000, 120_000, 240_000, 300_000, 300_000])
  })

  it('gets one attempt after its cool-down, and is trusted again once it answers', () => {
    const { enter, leave, fail, pass } = atWork()
    for (let n = 0; n < 5; n++) fail('a')
    pass(30_000)
    expect(enter('a').kind).toBe('go')
    expect(enter('a').kind).toBe('busy')
    leave('a', 'answered')
    for (let n = 0; n < 10; n++) expect(enter('a').kind).toBe('go')
    for (let n = 0; n < 4; n++) leave('a', 'silent')
    expect(enter('a').kind).toBe('go')
  })

  it('tells once that a delivery was rejected as busy', () => {
    const { enter, takeOverflow } = atWork()
    for (let n = 0; n < 10; n++) enter('a')
    expect(takeOverflow('a')).toBe(false)
    enter('a')
    expect([takeOverflow('a'), takeOverflow('a'), takeOverflow('b')]).toEqual([true, false, false])
  })

  it('is neither trusted nor given up by an attempt that did not ask it', () => {
    const { enter, leave, fail, pass } = atWork()
    for (let n = 0; n < 5; n++) fail('a')
    pass(30_000)
    enter('a')
    leave('a', 'unknown')
    expect(enter('a').kind).toBe('go')
    expect(enter('a').kind).toBe('busy')
    expect(leave('a', 'silent')).toBe(60_000)
  })

  it('has one cool-down for all deliveries that were under way', () => {
    const { enter, leave } = atWork()
    for (let n = 0; n < 10; n++) enter('a')
    const coolDowns = Array.from({ length: 10 }, () => leave('a', 'silent'))
    expect(coolDowns.filter((rest) => rest !== null)).toEqual([30_000])
  })
})
