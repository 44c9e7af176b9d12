import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createSparing, kindOfError } from './sparing.ts'

describe('the kind of an error', () => {
  const oom = (script: string) =>
    `OOM command not allowed when used memory > 'maxmemory'. script: ${script}, on @user_script:1.`

  test.each([
    [oom('9b1c2f'), oom('77aa01')],
    [
      "NOPERM this user has no permissions to run the 'zadd' command",
      "ACL failure in script: User x has no permissions to run the 'xadd' command script: 9f, on @user_script:3.",
    ],
    [
      'NOPERM no',
      "ERR The user executing the script can't run this command or subcommand script: 5f, on @user_script:1.",
    ],
    ['MOVED 3999 10.0.0.1:6381', 'MOVED 812 10.0.0.2:6381'],
    [
      'ERR Error running script (call to f_1): @user_script:7: READONLY You can not write',
      "READONLY You can't write against a read only replica.",
    ],
    ['Missing lock for job gen_01k.3. moveToFinished', 'Missing lock for job gen_02z.9. moveToFinished'],
    ['connect ECONNREFUSED 127.0.0.1:6379', 'connect ECONNREFUSED 127.0.0.1:6380'],
  ])('does not depend on what varies: %s', (one, other) => {
    expect(kindOfError(new Error(one))).toBe(kindOfError(new Error(other)))
  })

  test('distinguishes causes, by code as well', () => {
    const away = Object.assign(new Error('it failed'), { code: 'ECONNREFUSED' })
    const kinds = [oom('1'), 'READONLY x', 'LOADING x', 'Command timed out', away, 'it failed'].map(kindOfError)
    expect(new Set(kinds).size).toBe(kinds.length)
  })

  test("distinguishes the causes of Prisma's errors, which all begin alike", () => {
    const raw = (state: string, call = 'queryRaw') =>
      `\nInvalid \`prisma.$${call}()\` invocation:\n\n\nRaw query failed. Code: \`${state}\`. Message: \`in any words\``
    expect(kindOfError(new Error(raw('53300')))).not.toBe(kindOfError(new Error(raw('25006'))))
    expect(kindOfError(new Error(raw('53300')))).toBe(kindOfError(new Error(raw('53300', 'executeRaw'))))
  })
})

describe('a failure that repeats', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('is written once in each ten seconds, the last time with how many were left out, and at once after a rest', () => {
    const sparing = createSparing()
    const written: [number, number][] = []
    const say = (id: number) => sparing.say('OOM', (leftOut) => written.push([id, leftOut]))
    for (let id = 1; id <= 1_000; id++) say(id)
    vi.advanceTimersByTime(9_999)
    expect(written).toEqual([[1, 0]])
    vi.advanceTimersByTime(1)
    expect(written.slice(1)).toEqual([[1_000, 998]])
    for (let id = 1_001; id <= 1_003; id++) say(id)
    vi.advanceTimersByTime(10_000)
    expect(written.slice(2)).toEqual([[1_003, 2]])
    vi.advanceTimersByTime(20_000)
    expect(written).toHaveLength(3)
    say(1_004)
    expect(written.slice(3)).toEqual([[1_004, 0]])
  })

  test('does not hide another one, and ten thousand kinds take bounded memory and lines', () => {
    const sparing = createSparing()
    const written: string[] = []
    for (let kind = 0; kind < 10_000; kind++) sparing.say(`kind ${kind}`, () => written.push(`kind ${kind}`))
    expect(written.slice(0, 2)).toEqual(['kind 0', 'kind 1'])
    expect(written.length).toBeLessThanOrEqual(201)
  })
})
