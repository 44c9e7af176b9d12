import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { LONG_FILES } from './longest-first.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

it('every long file exists, and is listed once', () => {
  expect(LONG_FILES.filter((path) => !existsSync(`${ROOT}${path}`))).toEqual([])
  expect(new Set(LONG_FILES).size).toBe(LONG_FILES.length)
})
