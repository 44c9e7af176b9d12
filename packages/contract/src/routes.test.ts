import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { problemsOf, type Route } from './routes/route.ts'
import { ROUTES } from './routes.ts'

const rows: readonly (readonly [string, Route])[] = Object.entries(ROUTES)

describe('the table of routes', () => {
  it('has no method and path twice', () => {
    const names = rows.map(([, { method, path }]) => `${method} ${path}`)
    expect(new Set(names).size).toBe(names.length)
  })

  it.each(rows)('%s describes each part of its path, and at least one reply', (_id, { path, params, replies }) => {
    const parts = [...path.matchAll(/\{(\w+)\}/g)].map(([, part]) => part)
    expect(params instanceof z.ZodObject ? Object.keys(params.shape) : []).toEqual(parts)
    expect(Object.keys(replies).some((status) => status.startsWith('2'))).toBe(true)
  })

  it.each(rows)('%s names no problem twice, and those of its caller', (_id, row) => {
    const problems = problemsOf(row)
    expect(new Set(problems).size).toBe(problems.length)
    expect(problems.includes('unauthorized')).toBe(row.caller === 'key')
    expect(problems.includes('operator_login_required')).toBe(row.caller === 'operator')
  })

  it.each(rows)('%s lets callers with a key stand below /v1, and no others', (_id, { caller, path }) => {
    expect(path.startsWith('/v1/')).toBe(caller === 'key')
  })
})
