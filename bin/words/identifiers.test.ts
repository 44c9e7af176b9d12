// The names that a source declares, and the coined words found in names.

import { expect, it } from 'vitest'
import { coinedWordsOf, declaredNames } from './identifiers.ts'

it('reads declarations, parameters, fields and properties, and neither comments nor casts of SQL', () => {
  const source = [
    '// const inComment = 1',
    'export function runPoller(deps: Deps, runId?: string) {',
    '  const leaseMs = 1',
    'interface Poller {',
    '  readonly dueAt: Date',
    '  start(): void',
    '    SELECT state::text, wakes = wakes + 1',
  ].join('\n')
  expect(declaredNames(source).map(({ line, name }) => `${line} ${name}`)).toEqual([
    '2 runPoller',
    '2 deps',
    '2 runId',
    '3 leaseMs',
    '4 Poller',
    '5 dueAt',
    '6 start',
  ])
})

it.each([
  ['pollLane', ['the name "pollLane" has the coined word "lane": write poller']],
  ['IN_GRACES', ['the name "IN_GRACES" has the coined word "grace": write back-off, tolerance']],
  ['packages/shared/src/queues/lane-wake.ts', ['lane', 'wake'].map((word) => expect.stringContaining(`"${word}"`))],
  ['runPoller', []],
  ['planes', []],
  ['awake', []],
])('%s', (name, faults) => {
  expect(coinedWordsOf(name)).toEqual(faults)
})
