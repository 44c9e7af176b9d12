// The comments found in a source, and the faults found in a comment.

import { expect, it } from 'vitest'
import { faultsOf, readComments } from './comments.ts'

it('reads the comments that stand on lines of their own, neighbouring lines as one', () => {
  const source = [
    '// The head,',
    '// in two lines.',
    '',
    'const a = 1 // beside code',
    '/** A docstring. */',
    'const url = "https://example.com"',
    '  /**',
    '   * Of several',
    '   * lines.',
    '   */',
    'function f() {}',
  ].join('\n')
  expect(readComments(source)).toEqual([
    { line: 1, text: 'The head, in two lines.' },
    { line: 5, text: 'A docstring.' },
    { line: 7, text: 'Of several lines.' },
  ])
})

it.each([
  ['The queue is asked anew.', ['"anew" is not a word of the field: write again']],
  ['Whoever asks waits.', ['"Whoever" is not a word of the field: write the caller, the worker, the process']],
  ['It goes on.', ['the comment begins with "It": name the subject']],
  ['Those of a project.', ['the comment begins with "Those": name the subject']],
  ['The worker asks again. It waits.', []],
  ['Iteration and Thusness are words.', []],
])('%s', (text, faults) => {
  expect(faultsOf({ line: 1, text })).toEqual(faults)
})
