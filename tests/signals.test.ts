// A signal at any moment of a start ends the command, leaves nothing running, and the next start works.

import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { signalAt } from './signals/moment.ts'
import { createDatabase, type TestDatabase } from './support/database.ts'

const SECRET_KEY = Buffer.alloc(32, 7).toString('base64')

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reelqueue-signals-'))
  await chmod(folder, 0o755)
})

afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

describe.runIf(process.platform === 'linux')('a signal', () => {
  it('before the command is loaded ends it with the code of the signal', async () => {
    const [interrupted, terminated] = await Promise.all([
      signalAt(['start'], { afterMs: 250 }, 'SIGINT', folder, {}),
      signalAt(['simulator'], { afterMs: 250 }, 'SIGTERM', folder, {}),
    ])
    expect([interrupted.code ?? 130, terminated.code ?? 143]).toEqual([130, 143])
    expect([...interrupted.left, ...terminated.left]).toEqual([])
  })

  it('while `demo` and `start` boot ends them, Postgres too, and the next start works', async () => {
    for (const [words, when] of [
      [['demo'], 'Starting Postgres'],
      [['demo'], 'Starting the simulated provider'],
    ] as const) {
      const { code, left, output } = await signalAt(words, { when }, 'SIGINT', folder, {})
      expect(code, output).toBe(130)
      expect(left, output).toEqual([])
    }
    for (const afterMs of [1_200, 1_600, 2_000]) {
      const { code, left, output } = await signalAt(['start'], { afterMs }, 'SIGTERM', folder, { LOG_LEVEL: 'silent' })
      expect([0, 143], output).toContain(code)
      expect(left, output).toEqual([])
    }
    const next = await signalAt(['start'], { when: 'Reelqueue answers at' }, 'SIGTERM', folder, {})
    expect(next.code, next.output).toBe(0)
    expect(next.left).toEqual([])
  })

  it('while `start:api` and `start:worker` look at their servers ends them', async () => {
    const database: TestDatabase = await createDatabase()
    const env = { DATABASE_URL: database.url, SECRET_KEY }
    for (const name of ['start-api', 'start-worker']) {
      for (const afterMs of [900, 1_500]) {
        const { code, output } = await signalAt([name], { afterMs }, 'SIGTERM', folder, env)
        expect([0, 143], output).toContain(code)
      }
    }
    await database.drop()
  })
})
