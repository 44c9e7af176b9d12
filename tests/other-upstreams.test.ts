// Two upstreams share a database: the gate, the slots and the answers of the one change nothing for the other.

import { newId } from '@reelqueue/contract/terms/ids'
import type { UpstreamModels } from '@reelqueue/shared/domain/upstream-models'
import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations, releaseAdmitted } from '@reelqueue/shared/store/admission/admission'
import { noteAcceptance, noteFailure } from '@reelqueue/shared/store/admission/gate-answers'
import { findQueuePosition } from '@reelqueue/shared/store/admission/queue-position'
import { readGate } from '@reelqueue/shared/store/admission/submitting-gate'
import { beginSubmission, beginSubmissions } from '@reelqueue/shared/store/lifecycle/submissions'
import { submit } from '@reelqueue/worker/steps/submit'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { attemptsOn } from './support/attempts.ts'
import { answer, startScriptedUpstream } from './support/scripted-upstream.ts'
import { LEASE_MS, seedDatabase } from './support/seed.ts'
import { stepDeps } from './support/step-deps.ts'
import { startTestApp } from './support/test-app.ts'

const OTHER: UpstreamModels = { name: 'another', models: ['model of another'] }
const ofOther = { model: 'model of another' }

const seed = await seedDatabase()
const app = await startTestApp({ databaseUrl: seed.url, env: { UPSTREAM_API_KEY: 'key' } })
const provider = await startScriptedUpstream()
const upstream = createGlobalAi({ baseUrl: provider.origin, apiKey: 'key', timeoutMs: 1_000 })
const deps = { ...stepDeps(app), upstream }

beforeEach(() => seed.sql('TRUNCATE upstream_gates, generations, submissions CASCADE'))
afterAll(async () => {
  await app.close()
  await upstream.close()
  await provider.stop()
  await seed.close()
})

const admit = async (of: UpstreamModels = CONFIGURED, slots = 100) =>
  (await admitGenerations(seed.database, of, slots)).admitted.map((row) => row.id)
const admittedAt = async (id: string) => (await seed.row(id)).admittedAt

describe.each([
  ['paused', `paused_at = now()`],
  ['closed by silence', `unreachable_since = now(), silences = 5`],
  ['closed by a refusal', `account_retry_at = now() + interval '1 h', account_refusal = 'no'`],
  ['on trial after a refusal', `account_retry_at = now() - interval '1 s', account_refusal = 'no'`],
  ['asked to wait', `hold_until = now() + interval '1 h'`],
])('the gate of another upstream that is %s', (_, columns) => {
  beforeEach(async () => {
    await seed.sql(`INSERT INTO upstream_gates (upstream) VALUES ('another'), ('globalai')`)
    await seed.sql(`UPDATE upstream_gates SET ${columns} WHERE upstream = 'another'`)
  })

  it('lets this upstream admit and submit', async () => {
    const ids = [await seed.queued(), await seed.queued(), await seed.queued()]
    const [last = ''] = ids.slice(-1)
    const position = await findQueuePosition(seed.database, CONFIGURED, await seed.row(last), 15)
    expect(position).toMatchObject({ ahead: 2, isSubmittingHeld: false })
    expect((await admit()).sort()).toEqual(ids)
    const requests = ids.map((generationId) => ({ generationId, submissionId: newId('submission') }))
    const [alone, ...together] = requests
    if (!alone) throw new Error('no request')
    const begun = { kind: 'begun', intent: { isAfterFailure: false } }
    expect(await beginSubmission(seed.database, alone, CONFIGURED.name, LEASE_MS)).toMatchObject(begun)
    expect(await beginSubmissions(seed.database, together, CONFIGURED.name, LEASE_MS)).toMatchObject([begun, begun])
  })

  it('is not the gate that this upstream shows', async () => {
    expect(await readGate(seed.database, CONFIGURED.name)).toMatchObject({ isOpen: true, refusal: null })
    expect((await readGate(seed.database, OTHER.name)).isOpen).toBe(false)
  })
})

it('slots of another upstream are not counted, and its generations are not admitted', async () => {
  const [ofThis, ofThat] = [[await seed.queued(), await seed.queued()], [await seed.queued(ofOther)]]
  expect(await admit(CONFIGURED, 1)).toEqual([ofThis[0]])
  expect(await admit(OTHER, 1)).toEqual(ofThat)
  expect(await admit(OTHER, 1)).toEqual([])
  expect(await admit(CONFIGURED, 2)).toEqual([ofThis[1]])
  await releaseAdmitted(seed.database, OTHER)
  expect(await admittedAt(ofThat[0] ?? '')).toBeNull()
  expect(await admittedAt(ofThis[0] ?? '')).not.toBeNull()
})

it('an adopted task takes a slot of its upstream only', async () => {
  const { unknown, adopt } = attemptsOn(seed)
  for (let n = 0; n < 3; n++) await seed.queued(ofOther)
  const { id } = await unknown()
  await admit(OTHER)
  expect((await adopt(id, 'sora_found', { slots: 1 })).kind).toBe('adopted')
})

it('the end of an outage gives back slots that this upstream kept, and no others', async () => {
  await seed.sql(
    `INSERT INTO generations (id, project_id, model, prompt, status, error_code, finished_at, slot_until)
     SELECT new_id('gen'), $1, model, 'kept', 'failed', 'submission_unknown', now(), now() + interval '1 h'
     FROM unnest($2::text[]) AS of (model)`,
    [seed.projectId, [...CONFIGURED.models, ...OTHER.models]],
  )
  for (const { name } of [CONFIGURED, OTHER]) await noteFailure(seed.database, name, false, 5)
  await noteAcceptance(seed.database, CONFIGURED)
  expect(await seed.sql('SELECT model FROM generations WHERE slot_until > now()')).toEqual([{ model: OTHER.models[0] }])
  expect((await readGate(seed.database, OTHER.name)).unreachableSince).not.toBeNull()
})

it('equal refusals in a row close the gate, also while another upstream accepts', async () => {
  provider.play(answer(400, { message: 'size is wrong' }))
  for (let n = 0; n < 6; n++) {
    const id = await seed.admitted()
    await submit(deps, id)
    await seed.sql(
      `INSERT INTO submissions (id, generation_id, upstream, attempt, started_at, lease_until, state)
       VALUES ($1, $2, 'another', 1, now(), now(), 'accepted')`,
      [newId('submission'), id],
    )
  }
  expect(await readGate(seed.database, CONFIGURED.name)).toMatchObject({ isOpen: false, refusalClass: 'request' })
})
