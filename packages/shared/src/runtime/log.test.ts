import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { createLogger, type Logger, withoutQueries } from './log.ts'

describe('withoutQueries', () => {
  it.each([
    [
      'Reply was already sent, did you forget to "return reply" in "/v1/batches?defaults=%7B%22prompt%22%3A%22x%22%7D" (POST)?',
      'Reply was already sent, did you forget to "return reply" in "/v1/batches?…" (POST)?',
    ],
    ['Route GET:/v1/nothing?a=b not found', 'Route GET:/v1/nothing?… not found'],
    ['https://example.com/hook?token=secret', 'https://example.com/hook?…'],
    ['Is a worker running? See /readyz', 'Is a worker running? See /readyz'],
  ])('makes of %s: %s', (text, expected) => expect(withoutQueries(text)).toBe(expected))
})

it.runIf(process.platform === 'linux')('a log on a full disk throws nothing and ends nothing', () => {
  const log = createLogger('info', '/dev/full')
  expect(() => {
    for (let n = 0; n < 10; n++) log.info({ event: 'upload.cut_off', bytes: n })
  }).not.toThrow()
})

describe('a log', () => {
  const folder = mkdtempSync(join(tmpdir(), 'reelqueue-log-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const linesOf = (name: string, write: (log: Logger) => void) => {
    const file = join(folder, name)
    write(createLogger('info', file))
    return readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  it('leaves out what repeats: failures, and lines that come with every run', () => {
    const lines = linesOf('repeated', (log) => {
      for (let n = 0; n < 100; n++) {
        log.info({ event: 'poll.run', polls: n, durationMs: 1 })
        log.warn({ event: 'polls.refused', refused: n, polls: n })
        log.warn({ event: 'deliver.cooling_down', origin: `https://host-${n}.example.com`, forMs: 1_000 })
        log.error({ event: 'reconcile.failed', part: 'pollers', err: new Error(`no answer within ${n} ms`) })
      }
    })
    expect(lines.map((line) => line.event)).toEqual([
      'poll.run',
      'polls.refused',
      'deliver.cooling_down',
      'reconcile.failed',
    ])
  })

  it('leaves out nothing that names a submission, nor what is said of single rows', () => {
    const lines = linesOf('single', (log) => {
      for (let n = 0; n < 100; n++) {
        log.error({
          event: 'submit.unrecorded',
          submissionId: `sub_${n}`,
          outcome: 'accepted',
          tries: 1,
          err: new Error('gone'),
        })
        log.info({ event: 'complete.done', generationId: `gen_${n}` })
      }
    })
    expect(lines).toHaveLength(200)
  })
})
