// The statement of admission and its model, `domain/next-in-line.ts`, choose the same generations from random backlogs.

import { newId } from '@reelqueue/contract/terms/ids'
import { FAILURES_MAX } from '@reelqueue/shared/domain/gate-signal'
import { type GateInLine, type Line, nextInLine } from '@reelqueue/shared/domain/next-in-line'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations } from '@reelqueue/shared/store/admission/admission'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Seed, seedDatabase } from './support/seed.ts'

const RUNS = 80
const MODELS = [...CONFIGURED.models, 'a model of another upstream']

let seed: Seed
beforeAll(async () => {
  seed = await seedDatabase()
})
afterAll(() => seed.close())

const projectArbitrary = fc.record({
  isPaused: fc.constantFrom(false, false, true),
  maxInFlight: fc.option(fc.integer({ min: 1, max: 4 })),
  lastAdmittedAt: fc.option(fc.integer({ min: 0, max: 4 })),
})
const waitingArbitrary = fc.record({
  project: fc.nat(4),
  model: fc.constantFrom(...MODELS),
  priority: fc.integer({ min: -1, max: 1 }),
  row: fc.constantFrom('ordinary', 'ordinary', 'ordinary', 'in a cancelled batch', 'unstorable', 'tried'),
})
const takenArbitrary = fc.record({
  project: fc.nat(4),
  model: fc.constantFrom(...MODELS),
  kind: fc.constantFrom('starting' as const, 'rendering' as const, 'kept' as const),
})
const lineArbitrary = fc
  .record({
    slots: fc.integer({ min: 0, max: 9 }),
    slotsPerModel: fc.dictionary(fc.constantFrom(...MODELS), fc.integer({ min: 0, max: 5 }), { maxKeys: 2 }),
    other: fc.constantFrom<GateKind>('open', 'closed', 'half_open', 'trial'),
    gate: fc.constantFrom('open', 'open', 'open', 'closed', 'half_open', 'trial', 'after a refusal', 'after a refusal'),
    projects: fc.array(projectArbitrary, { minLength: 2, maxLength: 5 }),
    waiting: fc.array(waitingArbitrary, { minLength: 4, maxLength: 25, size: 'max' }),
    taken: fc.array(takenArbitrary, { maxLength: 5, size: 'max' }),
  })
  .map(lineOf)

type GateKind = GateInLine['kind']
type Drawn = { slots: number; slotsPerModel: Record<string, number>; gate: string; other: GateKind } & {
  projects: { isPaused: boolean; maxInFlight: number | null; lastAdmittedAt: number | null }[]
  waiting: { project: number; model: string; priority: number; row: string }[]
  taken: { project: number; model: string; kind: 'starting' | 'rendering' | 'kept' }[]
}

interface Case extends Line {
  /** The gate of another upstream, which must change nothing. */
  readonly other: GateInLine
  readonly rows: readonly string[]
}

function lineOf(drawn: Drawn): Case {
  const projects = drawn.projects.map((project) => ({ ...project, id: newId('project') }))
  const projectOf = (index: number) => projects[index % projects.length]?.id ?? ''
  const gate: GateInLine =
    drawn.gate === 'open' || drawn.gate === 'closed' || drawn.gate === 'half_open'
      ? { kind: drawn.gate }
      : { kind: 'trial', refusedProjectId: drawn.gate === 'trial' ? null : projectOf(0) }
  return {
    models: CONFIGURED.models,
    slots: drawn.slots,
    slotsPerModel: drawn.slotsPerModel,
    gate,
    other: drawn.other === 'trial' ? { kind: 'trial', refusedProjectId: projectOf(1) } : { kind: drawn.other },
    projects,
    waiting: drawn.waiting.map(({ project, model, priority, row }) => ({
      id: newId('generation'),
      projectId: projectOf(project),
      model,
      priority,
      isAdmissible: row === 'ordinary' || row === 'tried',
      wasTried: row === 'tried',
    })),
    taken: drawn.taken.map(({ project, ...slot }) => ({ ...slot, projectId: projectOf(project) })),
    rows: drawn.waiting.map((one) => one.row),
  }
}

/** Stores the line in an empty database. */
async function store({ gate, other, projects, waiting, taken, rows }: Case): Promise<void> {
  await seed.sql('TRUNCATE projects, upstream_gates, unstorable_rows CASCADE')
  const json = (value: unknown) => [JSON.stringify(value)]
  await seed.sql(
    `INSERT INTO projects (id, name, webhook_secret, paused_at, max_in_flight, last_admitted_at)
     SELECT id, id, 's', CASE WHEN "isPaused" THEN now() END, "maxInFlight", to_timestamp("lastAdmittedAt")
     FROM jsonb_to_recordset($1::jsonb)
       AS given (id text, "isPaused" boolean, "maxInFlight" int, "lastAdmittedAt" float8)`,
    json(projects),
  )
  await seed.sql(
    `INSERT INTO batches (id, project_id, total, cancel_requested_at) SELECT replace(id, 'prj', 'batch'), id, 1, now() FROM projects`,
  )
  await seed.sql(
    `INSERT INTO generations (id, project_id, model, prompt, priority, batch_id, current_submission_id)
     SELECT id, "projectId", model, 'a fox', priority,
       CASE WHEN row = 'in a cancelled batch' THEN replace("projectId", 'prj', 'batch') END, CASE WHEN row = 'tried' THEN 'sub_' || id END
     FROM jsonb_to_recordset($1::jsonb) AS given (id text, "projectId" text, model text, priority int, row text)`,
    json(waiting.map((one, index) => ({ ...one, row: rows[index] }))),
  )
  await seed.sql(
    `INSERT INTO unstorable_rows (id, statement, sql_state, retry_at) SELECT id, 'admit', '22000', now() + interval '1 hour'
     FROM jsonb_to_recordset($1::jsonb) AS given (id text, row text) WHERE row = 'unstorable'`,
    json(waiting.map((one, index) => ({ ...one, row: rows[index] }))),
  )
  await seed.sql(
    `INSERT INTO generations (id, project_id, model, prompt, status, admitted_at, slot_until, finished_at)
     SELECT new_id('gen'), "projectId", model, 'a fox',
       (CASE kind WHEN 'starting' THEN 'submitting' WHEN 'rendering' THEN 'processing' ELSE 'cancelled' END)::generation_status,
       now(), CASE WHEN kind = 'kept' THEN now() + interval '1 hour' END, CASE WHEN kind = 'kept' THEN now() END
     FROM jsonb_to_recordset($1::jsonb) AS given ("projectId" text, model text, kind text)`,
    json(taken),
  )
  await storeGate(CONFIGURED.name, gate)
  await storeGate('another', other)
}

async function storeGate(upstream: string, gate: GateInLine): Promise<void> {
  if (gate.kind === 'open') return
  await seed.sql(
    `INSERT INTO upstream_gates (upstream, paused_at, silences, account_retry_at, refused_project_id)
     VALUES ($1, CASE WHEN $2 = 'closed' THEN now() END, CASE WHEN $2 = 'half_open' THEN ${FAILURES_MAX - 1} ELSE 0 END,
       CASE WHEN $2 = 'trial' THEN now() - interval '1 s' END, $3)`,
    [upstream, gate.kind, gate.kind === 'trial' ? gate.refusedProjectId : null],
  )
}

it('the statement of admission and its model choose the same generations', async () => {
  await fc.assert(
    fc.asyncProperty(lineArbitrary, async (line) => {
      await store(line)
      const { admitted } = await admitGenerations(seed.database, CONFIGURED, line.slots, line.slotsPerModel)
      expect(admitted.map((row) => row.id).sort()).toEqual(nextInLine(line).sort())
    }),
    { numRuns: RUNS },
  )
})
