import { describe, expect, it } from 'vitest'
import { ArmedFaults } from './armed-faults.ts'
import { type Fault, faultAt, faultName, mayLeaveTask, readFault } from './faults.ts'

function plan(...texts: string[]) {
  return texts.map((text) => {
    const [name = '', value = null] = text.split('=')
    const planned = readFault(name, value)
    if (planned === null) throw new Error(`not a fault: ${text}`)
    return planned
  })
}
function names(planned: ReturnType<typeof plan>, requests: number) {
  return Array.from({ length: requests }, (_, index) => {
    const fault = faultAt(planned, index)
    return fault && faultName(fault)
  })
}

describe('faultAt', () => {
  it('works a plan off in order, then lets requests through', () => {
    expect(names(plan('429=2', '500=1', 'reset=1'), 6)).toEqual(['429', '429', '500', 'reset', null, null])
  })

  it('repeats a fault without a count for ever, but 429 only once', () => {
    expect(names(plan('hang'), 3)).toEqual(['hang', 'hang', 'hang'])
    expect(names(plan('429'), 3)).toEqual(['429', null, null])
  })
})

describe('mayLeaveTask', () => {
  it.each(['429', '400', '404', '307', 'reject', 'refuse=403,no', 'page', 'cdn=521'])(
    '%s says for certain that nothing was accepted',
    (name) => {
      expect(plan(name).map(({ fault }) => mayLeaveTask(fault))).toEqual([false])
    },
  )

  it.each(['500', '504', 'hang', 'reset', 'html', 'empty', 'nonjson', 'noid', 'truncated', 'stall', 'slow=5'])(
    '%s leaves the outcome open',
    (name) => {
      expect(plan(name).map(({ fault }) => mayLeaveTask(fault))).toEqual([true])
    },
  )
})

describe('ArmedFaults', () => {
  const hang: Fault = { kind: 'hang' }
  const reset: Fault = { kind: 'reset' }

  it('hits as many requests of its kind as it was armed for, oldest first', () => {
    const armed = new ArmedFaults()
    armed.arm('create', 'hang', hang, 2)
    armed.arm('create', 'reset', reset, 1)
    expect(armed.take('poll')).toBeNull()
    expect([armed.take('create'), armed.take('create'), armed.take('create'), armed.take('create')]).toEqual([
      hang,
      hang,
      reset,
      null,
    ])
  })

  it('stays until cleared when it has no number', () => {
    const armed = new ArmedFaults()
    armed.arm('poll', 'hang', hang, null)
    for (let request = 0; request < 10; request += 1) expect(armed.take('poll')).toBe(hang)
    expect(armed.list()).toEqual([{ on: 'poll', fault: 'hang', left: null }])
    armed.clear()
    expect(armed.take('poll')).toBeNull()
  })
})
