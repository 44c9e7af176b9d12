// The order of test files. A file that begins last and takes long would run on alone, and a fresh machine has no record of durations: so the
// long files are listed here, the longest first, files that keep the processors busy by turns with files that wait. The quick tests beside
// the code come last, because they fill the gaps at the end; the long one of them comes first, because another project needs another worker.

import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Each takes more than 20 s on two busy cores. */
export const LONG_FILES = [
  'bench/poll-simulation.test.ts',
  'tests/chaos/chaos.test.ts',
  'tests/commands.test.ts',
  'tests/redis-outage.test.ts',
  'tests/signals.test.ts',
  'tests/wrong-address.test.ts',
  'tests/crash.test.ts',
  'tests/one-round.test.ts',
  'tests/doctor.test.ts',
  'tests/late-postgres.test.ts',
  'tests/upload-memory.test.ts',
  'tests/large-batches.test.ts',
  'tests/redis-failover.test.ts',
  'tests/embedded-postgres.test.ts',
  'tests/webhook-names.test.ts',
  'tests/redis-wiped.test.ts',
  'tests/stopping.test.ts',
  'tests/console-sessions.test.ts',
  'tests/pipeline.test.ts',
  'tests/outage.test.ts',
  'tests/store-admission.test.ts',
  'tests/silent-polls.test.ts',
  'tests/outage-lines.test.ts',
  'tests/store-plans.test.ts',
  'tests/api-health.test.ts',
  'tests/api-shares.test.ts',
  'tests/refusals.test.ts',
  'tests/slots-under-kills.test.ts',
  'tests/store-retention.test.ts',
  'tests/submit-step.test.ts',
  'tests/poll-step.test.ts',
  'tests/api-batch-lines.test.ts',
  'tests/api-refuse.test.ts',
  'tests/api-bodies.test.ts',
]

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const place = ({ moduleId, project }: TestSpecification) => {
      const listed = LONG_FILES.findIndex((path) => moduleId.endsWith(`/${path}`))
      if (listed >= 0) return listed
      return project.name === 'system' ? LONG_FILES.length : LONG_FILES.length + 1
    }
    return sorted.sort((one, other) => place(one) - place(other))
  }
}
