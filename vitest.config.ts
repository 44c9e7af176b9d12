// Two projects: `unit` (beside the code, no I/O) and `system` (tests/, on a real Postgres that globalSetup finds
// or starts once per run). Run one with `npx vitest run --project unit`.
import { defineConfig } from 'vitest/config'
import { LongestFirst } from './tests/support/longest-first.ts'

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    // One more than two cores, because many tests wait for servers, time limits and other processes.
    maxWorkers: 3,
    projects: [
      {
        test: {
          name: 'unit',
          // Pure functions: nothing of one file can reach another.
          isolate: false,
          // Property tests take their time on a busy machine.
          testTimeout: 60_000,
          include: ['packages/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts', 'bin/**/*.test.ts', 'bench/**/*.test.ts'],
        },
      },
      {
        test: {
          name: 'system',
          // Each file has a database, servers and a house of its own: sharing loaded modules costs nothing and saves minutes.
          isolate: false,
          include: ['tests/**/*.test.ts'],
          globalSetup: ['tests/support/postgres.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
