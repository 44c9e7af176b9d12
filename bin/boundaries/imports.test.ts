import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ROOT, sources } from '../sources.ts'
import { crossings, importsOf } from './imports.ts'
import { ROOMS } from './rooms.ts'

const DOMAIN = 'packages/shared/src/domain/plan.ts'
const found = (file: string, line: string) => crossings(file, line, ROOMS)

it('reads imports of values, of types, for effect, at run time, over several lines, and re-exports', () => {
  const text = `import a from 'a'
import {
  type B,
} from './b.ts'
import type { C } from '../c.ts'
import 'd'
export { e } from './e.ts'
const f = await import('./f.ts')
const text = "nothing from 'g'"`
  expect(importsOf(text)).toEqual(['a', './b.ts', '../c.ts', 'd', './e.ts', './f.ts'])
})

it.each([
  [DOMAIN, "import type { Database } from '../store/database.ts'", 'packages/shared/src/store'],
  [DOMAIN, "import { Queue } from 'bullmq'", 'the package bullmq'],
  [DOMAIN, "import { event } from '@reelqueue/contract/wire/event'", 'packages/contract/src/wire'],
  ['packages/shared/src/queues/a.ts', "import { a } from '../store/lifecycle/moves.ts'", 'store/lifecycle'],
  ['packages/shared/src/store/a.ts', "import { a } from './lifecycle/moves.ts'", 'store/lifecycle'],
  ['packages/shared/src/store/lifecycle/a.ts', "import { a } from '../../after-commit.ts'", 'after-commit.ts'],
  ['packages/contract/src/wire/a.ts', "import { a } from 'node-fetch'", 'the package node-fetch'],
  ['apps/api/src/a.ts', "import { a } from '@reelqueue/worker/deps'", 'apps/worker/src'],
  ['apps/api/src/a.ts', "import pg from 'pg'", 'the package pg'],
  ['apps/simulator/src/a.ts', "import { a } from '@reelqueue/contract/terms/ids'", 'packages/contract/src/terms'],
])('refuses in %s: %s', (file, line, named) => {
  expect(found(file, line)).toEqual([expect.stringContaining(`may not import ${named.startsWith('the') ? named : ''}`)])
  expect(found(file, line)[0]).toContain(named)
})

it('allows a room itself, the rooms of its row, its packages, and Node.js', () => {
  expect(
    found(
      'packages/shared/src/store/lifecycle/a.ts',
      `import { a } from './b.ts'
import { c } from '../admission/admission.ts'
import { newId } from '@reelqueue/contract/terms/ids'
import { Prisma } from '../generated/client.ts'
import { PrismaPg } from '@prisma/adapter-pg'
import { join } from 'node:path'`,
    ),
  ).toEqual([])
})

it.each(['shared', 'contract'])('what packages/%s exports is what others import', (name) => {
  const text = readFileSync(join(ROOT, `packages/${name}/package.json`), 'utf8')
  const exported = Object.keys(JSON.parse(text).exports).map((path) => path.replace('.', `@reelqueue/${name}`))
  const others = sources(['apps', 'packages', 'bin', 'bench', 'tests']).filter(
    (file) => !file.startsWith(`packages/${name}/`) && !file.startsWith('bin/boundaries/'),
  )
  const imported = others.flatMap((file) => importsOf(readFileSync(join(ROOT, file), 'utf8')))
  expect(exported.filter((path) => !imported.includes(path))).toEqual([])
})

it('each room of a row is in the table, and the rooms have an order', () => {
  const ordered: string[] = []
  for (const room of ROOMS) {
    expect(ordered).toEqual(expect.arrayContaining([...room.rooms]))
    ordered.push(room.path)
  }
})
