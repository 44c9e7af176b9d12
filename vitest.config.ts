// Two projects: `unit` (beside the code, no I/O) and `system` (tests/, on a real Postgres that globalSetup finds
// or starts once per run). Run one with `npx vitest run --project unit`.
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Vitest begins with the largest files. The storm is small and takes the longest: begun last, it would run on alone. */
class StormFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isStorm = ({ moduleId }: TestSpecification) => moduleId.endsWith('/chaos.test.ts')
    return [...sorted.filter(isStorm), ...sorted.filter((file) => !isStorm(file))]
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: StormFirst },
    projects: [
      {
        test: {
          name: 'unit',
          // Pure functions: nothing of one file can reach another.
          isolate: false,
          sequence: { groupOrder: 0 },
          // Property tests take their time on a busy machine.
          testTimeout: 30_000,
          include: ['packages/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts', 'bin/**/*.test.ts', 'bench/**/*.test.ts'],
        },
      },
      {
        test: {
          name: 'system',
          // Each file has a database, servers and a house of its own: sharing loaded modules costs nothing and saves minutes.
          isolate: false,
          sequence: { groupOrder: 1 },
          include: ['tests/**/*.test.ts'],
          globalSetup: ['tests/support/postgres.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          maxWorkers: 3,
        },
      },
    ],
  },
})
