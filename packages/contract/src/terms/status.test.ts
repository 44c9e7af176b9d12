import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { afterMove, isTerminal, MOVES, type MoveName, OPEN_STATUSES, STATUSES, type Status } from './status.ts'

const MOVE_NAMES = Object.keys(MOVES) as MoveName[]

/** Every status × every move; an unnamed move is illegal. */
const EXPECTED: Readonly<Record<Status, Partial<Record<MoveName, Status>>>> = {
  queued: {
    submit: 'submitting',
    acceptLate: 'processing',
    resume: 'processing',
    fail: 'failed',
    cancel: 'cancelled',
  },
  submitting: { accept: 'processing', resume: 'processing', release: 'queued', fail: 'failed', cancel: 'cancelled' },
  processing: { complete: 'completed', fail: 'failed', cancel: 'cancelled' },
  completed: {},
  failed: { acceptLate: 'processing', retry: 'queued', adopt: 'processing', completeLate: 'completed' },
  cancelled: {},
}

const pairs = STATUSES.flatMap((status) => MOVE_NAMES.map((move) => ({ status, move })))

describe('the status table', () => {
  it.each(pairs)('from $status, $move leads exactly where it should', ({ status, move }) => {
    expect(afterMove(status, move)).toBe(EXPECTED[status][move] ?? null)
  })

  it('knows which statuses are ends', () => {
    expect(STATUSES.filter(isTerminal)).toEqual(['completed', 'failed', 'cancelled'])
    expect(STATUSES.filter((status) => !isTerminal(status))).toEqual([...OPEN_STATUSES])
  })
})

describe('any sequence of moves, repeated and reordered', () => {
  const moves = fc.array(fc.constantFrom(...MOVE_NAMES), { maxLength: 40 })

  it('never leaves completed or cancelled, and leaves failed only by a late move or because it was asked to', () => {
    fc.assert(
      fc.property(moves, (sequence) => {
        let status: Status = 'queued'
        for (const move of sequence) {
          const next = afterMove(status, move)
          if (next === null) continue
          expect(['completed', 'cancelled']).not.toContain(status)
          if (status === 'failed') expect(['acceptLate', 'completeLate', 'retry', 'adopt']).toContain(move)
          expect(STATUSES).toContain(next)
          status = next
        }
      }),
    )
  })

  it('changes nothing when a move is repeated at once', () => {
    fc.assert(
      fc.property(fc.constantFrom(...STATUSES), fc.constantFrom(...MOVE_NAMES), (status, move) => {
        const next = afterMove(status, move)
        if (next !== null) expect(afterMove(next, move)).toBeNull()
      }),
    )
  })

  it('comes to the provider again only from failed, or by a release: no other open status goes back', () => {
    const rank: Record<Status, number> = {
      queued: 0,
      submitting: 1,
      processing: 2,
      completed: 3,
      failed: 3,
      cancelled: 3,
    }
    for (const { status, move } of pairs) {
      const next = afterMove(status, move)
      if (next !== null && status !== 'failed' && move !== 'release') expect(rank[next]).toBeGreaterThan(rank[status])
    }
  })
})
