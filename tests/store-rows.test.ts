// The rows that the store declares are the rows that Postgres returns: each named statement has exactly the declared
// columns, and each column has a type of the declared kind. The compiler says what is declared; the statements are the
// store's own, recorded on the way to Postgres.

import { newId } from '@reelqueue/contract/terms/ids'
import { ADDRESS_LIMIT } from '@reelqueue/shared/domain/login-guess'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { noteAcceptance, noteFailure } from '@reelqueue/shared/store/admission/gate-answers'
import { findLastPosition } from '@reelqueue/shared/store/admission/queue-position'
import { takeRequests } from '@reelqueue/shared/store/admission/request-rate'
import { readGate } from '@reelqueue/shared/store/admission/submitting-gate'
import { findCoolDowns } from '@reelqueue/shared/store/deliveries/cool-downs'
import { findDispatchedDeliveries } from '@reelqueue/shared/store/deliveries/deliveries'
import { findUnwanted, giveUpWaiting } from '@reelqueue/shared/store/deliveries/delivery-ends'
import { busyOrigins } from '@reelqueue/shared/store/deliveries/delivery-holds'
import { listDeliveries } from '@reelqueue/shared/store/deliveries/delivery-log'
import { disableEndpoint } from '@reelqueue/shared/store/deliveries/endpoint-events'
import { changeEndpoint } from '@reelqueue/shared/store/deliveries/endpoints'
import { fanOutPage, nextToFanOut } from '@reelqueue/shared/store/deliveries/fan-out'
import { redeliver, redeliverFailed, someToEnqueue } from '@reelqueue/shared/store/deliveries/redelivery'
import { countByStatus, finishBatches } from '@reelqueue/shared/store/intake/batches'
import { countWaiting, endedAmong, listGenerations } from '@reelqueue/shared/store/intake/generation-reads'
import { changePage } from '@reelqueue/shared/store/lifecycle/batch-change-pages'
import { claimChange, markCancelled } from '@reelqueue/shared/store/lifecycle/batch-changes'
import { cancelGeneration } from '@reelqueue/shared/store/lifecycle/cancellation'
import {
  claimOverdueDeliveries,
  claimOverdueGenerations,
  endedBatches,
} from '@reelqueue/shared/store/lifecycle/overdue'
import { claimDuePolls } from '@reelqueue/shared/store/lifecycle/polling'
import {
  countSlowRenders,
  readRenderEstimate,
  readRenderStats,
  readRenderTimes,
  recordRenders,
} from '@reelqueue/shared/store/lifecycle/render-stats'
import { readAnswerCounts } from '@reelqueue/shared/store/operator/answer-counts'
import { findAnything } from '@reelqueue/shared/store/operator/find'
import { readGenerationFacts } from '@reelqueue/shared/store/operator/generation-facts'
import { listAllGenerations, readAllGenerations } from '@reelqueue/shared/store/operator/generation-list'
import { overdueWork } from '@reelqueue/shared/store/operator/health'
import { hasSubmission, ledgerState } from '@reelqueue/shared/store/operator/ledger-watch'
import { countKeptSlots, countOpenWork, readPollsSeen } from '@reelqueue/shared/store/operator/metrics'
import { countWrong, readLogin } from '@reelqueue/shared/store/operator/operator-login'
import { changeOperator, createOperator, findOperator, listOperators } from '@reelqueue/shared/store/operator/operators'
import {
  createSession,
  endSession,
  findSession,
  listSessions,
  readServerTime,
} from '@reelqueue/shared/store/operator/sessions'
import { findProjectsByKeys } from '@reelqueue/shared/store/projects'
import { nameOf } from '@reelqueue/shared/store/sql'
import { countUnstorable, noteUnstorable, refusedAmong } from '@reelqueue/shared/store/unstorable'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type DeclaredRow, declaredRows, type Kind } from './support/declared-rows.ts'
import { claimNextDelivery } from './support/deliveries.ts'
import { type Seed, seedDatabase } from './support/seed.ts'

/** Statements that this test does not run, because they need a history of their own. */
const NOT_RUN = new Set([
  'pickStorable',
  'recordAttempts',
  'moveDeliveries',
  'nextDelivery',
  'presentUrls',
  'countRetryable',
  'failedAgain',
  'adoptLedger',
  'readSealed',
  'findLastById',
  'findLastEndpointEvent',
  'pickForgotten',
  'priorityPage',
  'countRefusal',
  'wasRefusedAlone',
  'leaseGeneration',
  'readAdopted',
  'isFull',
])

let seed: Seed
const batchId = newId('batch')
const endpoint = { id: newId('endpoint'), url: 'https://e.example/' }
const deliveryId = newId('delivery')
beforeAll(async () => {
  seed = await seedDatabase()
})
afterAll(() => seed.close())

/** Runs many functions of the store. A result without rows has its columns too. */
async function runStatements(): Promise<void> {
  const { database, projectId } = seed
  const id = await seed.processing()
  await seed.sql('INSERT INTO batches (id, project_id, total) VALUES ($1, $2, 2)', [batchId, projectId])
  await seed.queued({ batchId })
  await seed.sql(
    `INSERT INTO webhook_endpoints (id, project_id, url, event_types, secret) VALUES ($1, $2, $3, '{}', 's')`,
    [endpoint.id, projectId, endpoint.url],
  )
  await seed.sql(
    `INSERT INTO deliveries (id, project_id, event_id, endpoint_id, url, state, next_attempt_at, due_at)
     SELECT $1, project_id, id, $2, $3, 'pending', now(), now() FROM events LIMIT 1`,
    [deliveryId, endpoint.id, endpoint.url],
  )
  const target = `${projectId} https://e.example`
  const profile = { model: 'openAiSora2', seconds: 4, size: null }
  await noteUnstorable(database, 'claim', 'gen_none', new Error('an error without a SQLSTATE'))
  await refusedAmong(database, [id])
  await countUnstorable(database)
  await findProjectsByKeys(database, ['hash'])
  await readLogin(database, 'an address', 'a name')
  await countWrong(database, 'an address', ADDRESS_LIMIT)
  await runSessionStatements()
  await readAnswerCounts(database)
  await hasSubmission(database, 'sub_none')
  await ledgerState(database)
  await countKeptSlots(database)
  await countOpenWork(database)
  await readPollsSeen(database)
  await overdueWork(database, 60_000)
  await recordRenders(database, [id])
  await readRenderTimes(database, 'globalai')
  await readRenderEstimate(database, 'globalai', profile)
  await readRenderStats(database, [profile])
  await countSlowRenders(database)
  await findCoolDowns(database, [target])
  await findDispatchedDeliveries(database, [deliveryId])
  await findUnwanted(database)
  await busyOrigins(database, [target])
  await listDeliveries(database, projectId, {}, 10)
  await claimOverdueDeliveries(database, 10)
  await claimNextDelivery(database, target, 1_000)
  await someToEnqueue(database, endpoint.id)
  await redeliver(database, deliveryId)
  await redeliverFailed(database, { id: endpoint.id, projectId }, new Date(0))
  await giveUpWaiting(database, target)
  await changeEndpoint(database, endpoint.id, { description: 'another' })
  await disableEndpoint(database, endpoint, 'gone')
  await listGenerations(database, projectId, { status: 'queued' }, 10)
  await listAllGenerations(database, { statuses: ['queued', 'failed'] }, 10)
  await listAllGenerations(database, { prompt: 'a prompt that nothing has' }, 10)
  await readGenerationFacts(database, await readAllGenerations(database, [id], undefined), {
    upstream: CONFIGURED,
    slots: 10,
    slotsPerModel: {},
    hasUpstreamKey: true,
  })
  await findAnything(database, id, ['globalai'], undefined)
  await findAnything(database, 'a name', ['globalai'], undefined)
  await countWaiting(database, projectId, 10)
  await endedAmong(database, [id])
  await countByStatus(database, [batchId])
  await claimOverdueGenerations(database, 10, ['submit', 'complete'])
  await endedBatches(database, 10)
  await finishBatches(database, [batchId])
  await findLastPosition(database, CONFIGURED, batchId, 15)
  await markCancelled(database, batchId, true)
  await claimChange(database, { not: [] })
  await changePage(database, batchId, { after: '', rows: 5 }, 1)
  await nextToFanOut(database, '')
  await fanOutPage(database, projectId, 5)
  await readGate(database, CONFIGURED.name)
  await noteFailure(database, 'globalai', false, 1)
  await noteAcceptance(database, CONFIGURED)
  await takeRequests(database, 'globalai', 1, 60)
  await claimDuePolls(database, 10, 1_000)
  await cancelGeneration(database, id, 60_000)
}

async function runSessionStatements(): Promise<void> {
  const { database, projectId } = seed
  await createOperator(database, { name: 'a member', role: 'member', projectId, passwordHash: 'a hash' })
  await listOperators(database, 10)
  const operator = await findOperator(database, 'A member')
  if (operator === null) throw new Error('no operator')
  const { id: operatorId, ...rest } = operator
  const none = { passwordProof: null, userAgent: null, address: null }
  const session = await createSession(database, { operatorId, ...rest, ...none, tokenHash: 'a token' })
  await findSession(database, 'a token')
  await listSessions(database, session, 10)
  await endSession(database, null, session?.id ?? '')
  await changeOperator(database, operatorId, { disabled: true })
  await readServerTime(database)
}

/** The columns of each named statement, by name, with the ids of their types. */
async function returnedColumns(): Promise<Map<string, ReadonlyMap<string, number>>> {
  const columns = new Map<string, ReadonlyMap<string, number>>()
  const note = (text: string, result: pg.QueryResult | undefined) => {
    const name = nameOf(text)
    if (name === null || result === undefined) return
    columns.set(name, new Map(result.fields.map((field) => [field.name, field.dataTypeID])))
  }
  const { query } = pg.Client.prototype
  const send = query as (this: pg.Client, ...args: unknown[]) => unknown
  // The pool passes a callback; a transaction awaits a promise.
  pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
    const { text = '' } = args[0] as { readonly text?: string }
    const callback = args.at(-1)
    if (typeof callback !== 'function') {
      const sent = send.apply(this, args) as Promise<pg.QueryResult>
      return sent.then((result) => {
        note(text, result)
        return result
      })
    }
    const noting = (error: unknown, result: pg.QueryResult | undefined) => {
      note(text, result)
      callback(error, result)
    }
    return send.apply(this, [...args.slice(0, -1), noting])
  } as typeof query
  try {
    await runStatements()
  } finally {
    pg.Client.prototype.query = query
  }
  return columns
}

const { BOOL, FLOAT4, FLOAT8, INT2, INT4, JSON: PLAIN_JSON, JSONB, TIMESTAMPTZ } = pg.types.builtins

/** Types of Postgres for a kind; arrays may be JSON. Types of this database, such as `generation_status`, are enums. */
function fits(kind: Kind, type: number): boolean {
  const isJson = type === JSONB || type === PLAIN_JSON
  const isNumber = [INT2, INT4, FLOAT4, FLOAT8].includes(type)
  if (kind === 'number') return isNumber
  if (kind === 'boolean') return type === BOOL
  if (kind === 'date') return type === TIMESTAMPTZ
  if (kind === 'other') return isJson
  const isArray = ARRAYS.includes(type)
  return kind === 'array'
    ? isJson || isArray
    : !isJson && !isArray && !isNumber && type !== BOOL && type !== TIMESTAMPTZ
}

/** Arrays of text, of int4 and of float8. */
const ARRAYS = [1009, 1007, 1022]

function faultsOf(declared: NonNullable<DeclaredRow>, returned: ReadonlyMap<string, number>): string[] {
  const missing = Object.keys(declared).filter((column) => !returned.has(column))
  const more = [...returned.keys()].filter((column) => !(column in declared))
  const wrong = Object.entries(declared).filter(([column, kind]) => {
    const type = returned.get(column)
    return type !== undefined && !fits(kind, type)
  })
  return [
    ...missing.map((column) => `${column} is declared and not returned`),
    ...more.map((column) => `${column} is returned and not declared`),
    ...wrong.map(([column, kind]) => `${column} is declared as ${kind} and has the type ${returned.get(column)}`),
  ]
}

it('each statement returns the columns that its row type declares', async () => {
  const declared = declaredRows()
  const returned = await returnedColumns()
  const faults = [...declared].flatMap(([name, row]) => {
    const columns = returned.get(name)
    return row === null || columns === undefined ? [] : faultsOf(row, columns).map((fault) => `${name}: ${fault}`)
  })
  expect(faults).toEqual([])
  const unheard = [...declared].flatMap(([name, row]) => (row === null || returned.has(name) ? [] : [name]))
  expect(unheard.filter((name) => !NOT_RUN.has(name))).toEqual([])
  expect([...NOT_RUN].filter((name) => returned.has(name))).toEqual([])
})
