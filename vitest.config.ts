// Two projects: `unit` (beside the code, no I/O) and `system` (tests/, on a real Postgres that globalSetup finds
// or starts once per run). Run one with `npx vitest run --project unit`.
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Vitest begins with the largest files. These are small and take long: begun last, they would run on alone. */
const LONG = /\/(chaos|wrong-address|silent-polls|late-postgres|redis-outage|webhook-names)\.test\.ts$/

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) => LONG.test(moduleId)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongFirst },
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
