import { expect, test } from 'vitest'
import { type LedgerFacts, type LedgerMark, ledgerSuspicion } from './ledger.ts'

const HOUR = 3_600_000
const now = 1_800_000_000_000
const here = { system: '7', database: '16384', table: '16400', timeline: 1 }

function facts(changes: Partial<LedgerFacts>, marks: readonly Partial<LedgerMark>[] = []): LedgerFacts {
  const aliveAtMs = changes.aliveAtMs === undefined ? now - 12 * HOUR : changes.aliveAtMs
  const complete = marks.map((mark) => ({
    where: 'Redis',
    aliveAtMs: aliveAtMs ?? 0,
    submission: 'sub_1',
    hasSubmission: true,
    ...mark,
  }))
  return { nowMs: now, hasStopped: false, recorded: here, present: here, ...changes, aliveAtMs, marks: complete }
}

test.each<[string, LedgerFacts]>([
  ['no worker has been here yet', facts({ aliveAtMs: null, recorded: null })],
  ['a crash, and a start soon after', facts({ aliveAtMs: now - 60_000 })],
  ['a night after a stop in order', facts({ hasStopped: true })],
  ['a night after a crash, with a mark that agrees', facts({}, [{}])],
  ['a mark that is one sign of life behind', facts({}, [{ aliveAtMs: now - 12 * HOUR - 30_000 }])],
  ['a failover a minute ago', facts({ aliveAtMs: now - 60_000, present: { ...here, timeline: 2 } })],
  [
    'a server that may not be asked who it is',
    facts({ hasStopped: true, present: { ...here, system: null, timeline: null } }),
  ],
])('only a stop: %s', (_, seen) => {
  expect(ledgerSuspicion(seen)).toBeNull()
})

test.each<[string, LedgerFacts, RegExp]>([
  ['a mark knows a later sign of life', facts({ hasStopped: true }, [{ aliveAtMs: now - HOUR }]), /^Redis remembers/],
  [
    'a mark knows a submission that is missing',
    facts({ hasStopped: true }, [{ hasSubmission: false }]),
    /^Redis remembers/,
  ],
  [
    'another database of the server',
    facts({ hasStopped: true, present: { ...here, database: '16999' } }, [{}]),
    /copy or a restored/,
  ],
  [
    'tables that were made anew',
    facts({ aliveAtMs: now - 1_000, present: { ...here, table: '17000' } }),
    /copy or a restored/,
  ],
  ['another server', facts({ hasStopped: true, present: { ...here, system: '8' } }), /copy or a restored/],
  ['a point in time', facts({ hasStopped: true, present: { ...here, timeline: 2 } }, [{}]), /point in time/],
  ['a night after a crash, and nothing agrees', facts({}), /last sign of a worker/],
  ['the only mark is of long before', facts({}, [{ aliveAtMs: now - 400 * HOUR }]), /last sign of a worker/],
])('perhaps a restored copy: %s', (_, seen, words) => {
  expect(ledgerSuspicion(seen)).toMatch(words)
})
