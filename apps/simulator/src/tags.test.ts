import { describe, expect, it } from 'vitest'
import { ID_KEYS, plainBehaviour, URL_KEYS } from './behaviour.ts'
import { readTags } from './tags.ts'

function behaviourOf(prompt: string) {
  const behaviour = readTags(prompt)
  if ('problem' in behaviour) throw new Error(behaviour.problem)
  return behaviour
}

describe('readTags', () => {
  it('leaves a prompt without tags to the documented upstream', () => {
    expect(behaviourOf('a fox [in snow] = nice')).toEqual(plainBehaviour())
  })

  it('finds tags anywhere and any number of them', () => {
    const behaviour = behaviourOf('[sim:render=250]a fox[sim:amount=12.5] runs [sim:nulls]')
    expect(behaviour).toMatchObject({ renderMs: 250, amount: 12.5, nulls: true })
  })

  it('keeps the order of faults and tells create faults from poll faults', () => {
    const behaviour = behaviourOf('[sim:429=2][sim:poll500=3][sim:reset=1][sim:forget]')
    expect(behaviour.createFaults).toEqual([
      { fault: { kind: 'status', status: 429 }, times: 2 },
      { fault: { kind: 'reset' }, times: 1 },
    ])
    expect(behaviour.pollFaults).toEqual([
      { fault: { kind: 'status', status: 500 }, times: 3 },
      { fault: { kind: 'status', status: 404 }, times: null },
    ])
  })

  it('reads a delay as one that goes with every other tag', () => {
    const behaviour = behaviourOf('[sim:slow=20][sim:pollslow=30]')
    expect(behaviour).toMatchObject({ createDelayMs: 20, pollDelayMs: 30, createFaults: [], pollFaults: [] })
  })

  it('takes a value in double quotes for a string and other digits for a number', () => {
    expect(behaviourOf('[sim:tokens="108"][sim:wrap=0]')).toMatchObject({ totalTokens: '108', wrapCode: 0 })
    expect(behaviourOf('[sim:reject="1001",no such thing*2]').createFaults).toEqual([
      { fault: { kind: 'reject', code: '1001', message: 'no such thing' }, times: 2 },
    ])
  })

  it.each(['fail', 'failobject'])('%s fails at once with the message given', (name) => {
    expect(behaviourOf(`[sim:${name}=content policy]`)).toMatchObject({
      failure: 'content policy',
      failsAtOnce: true,
      errorAsObject: name === 'failobject',
    })
  })

  it('shows a status word in the phase it belongs to, in the case it was written', () => {
    const { words, failure } = behaviourOf('[sim:status=Pending][sim:status=IN_PROGRESS][sim:status=succeeded]')
    expect(words).toEqual({ queued: 'Pending', processing: 'IN_PROGRESS', completed: 'succeeded', failed: 'failed' })
    expect(failure).toBeNull()
  })

  it('lets a word for failure fail the task, at the usual time', () => {
    expect(behaviourOf('[sim:status=expired]')).toMatchObject({
      words: { failed: 'expired' },
      failure: 'simulated failure',
      failsAtOnce: false,
    })
  })

  it('shows an unknown status word until the task is done', () => {
    const { words } = behaviourOf('[sim:status=moderating]')
    expect(words).toMatchObject({ queued: 'moderating', processing: 'moderating', completed: 'completed' })
  })

  it('accepts every documented place of id and URL', () => {
    for (const key of ID_KEYS) expect(behaviourOf(`[sim:id=${key}]`).idKey).toBe(key)
    for (const key of URL_KEYS) expect(behaviourOf(`[sim:url=${key}]`).urlKey).toBe(key)
  })

  it('withholds the URL for ever or for a number of answers', () => {
    expect(behaviourOf('[sim:nourl]').answersWithoutUrl).toBe(Number.POSITIVE_INFINITY)
    expect(behaviourOf('[sim:nourl=2]').answersWithoutUrl).toBe(2)
  })

  it.each([
    '[sim:]',
    '[sim:rset]',
    '[sim:constructor]',
    '[sim:429=often]',
    '[sim:429=0]',
    '[sim:600]',
    '[sim:render]',
    '[sim:render=1e3]',
    '[sim:id=name]',
    '[sim:url=data.href]',
    '[sim:status=]',
    '[sim:reject=]',
    '[sim:reject=1001*0]',
    '[sim:nourl=0]',
    '[sim:pollfail]',
    '[sim:stuck=1]',
    '[sim:slow]',
  ])('refuses %s by name instead of ignoring it', (tag) => {
    const read = readTags(`a fox ${tag} runs`)
    expect('problem' in read && read.problem).toContain(tag)
  })

  it('refuses a tag that is not closed', () => {
    expect(readTags('a fox [sim:nulls] runs [sim:reset')).toHaveProperty('problem')
  })
})
