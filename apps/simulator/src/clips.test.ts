import { describe, expect, it } from 'vitest'
import { readRange } from './clips.ts'

describe('readRange', () => {
  it.each([
    ['bytes=0-99', { start: 0, end: 99 }],
    ['bytes=900-', { start: 900, end: 999 }],
    ['bytes=-100', { start: 900, end: 999 }],
    ['bytes=-5000', { start: 0, end: 999 }],
    ['bytes=500-5000', { start: 500, end: 999 }],
    ['bytes=1000-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
  ])('reads %s of 1000 bytes', (header, expected) => {
    expect(readRange(header, 1000)).toEqual(expected)
  })

  it.each([undefined, 'bytes=', 'bytes=-', 'bytes=9-1', 'bytes=0-1,3-4', 'items=0-1'])(
    'sends the whole file for %s',
    (header) => {
      expect(readRange(header, 1000)).toBeNull()
    },
  )
})
