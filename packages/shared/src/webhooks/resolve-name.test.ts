import { expect, it } from 'vitest'
import { parseHosts } from './resolve-name.ts'

it('reads a hosts file: several names and addresses, comments, any case, and lines that say nothing', () => {
  const hosts = parseHosts(
    ['# a comment', '127.0.0.1\tlocalhost Hook.Example # mine', '::1 localhost', '', 'nonsense here', '10.0.0.9'].join(
      '\r\n',
    ),
  )
  expect([...hosts]).toEqual([
    [
      'localhost',
      [
        { address: '127.0.0.1', family: 4 },
        { address: '::1', family: 6 },
      ],
    ],
    ['hook.example', [{ address: '127.0.0.1', family: 4 }]],
  ])
})
