// How deliveries share the origins, and how delivery is repeated.

import { setTimeout as delay } from 'node:timers/promises'
import { toDeliveryJson } from '@reelqueue/contract/wire/webhook-delivery'
import { listDeliveries } from '@reelqueue/shared/store/deliveries/delivery-log'
import { redeliver } from '@reelqueue/shared/store/deliveries/redelivery'
import { claimOverdueDeliveries } from '@reelqueue/shared/store/lifecycle/overdue'
import { overdueWork } from '@reelqueue/shared/store/operator/health'
import { ensureProject } from '@reelqueue/shared/store/projects'
import { createGuardedClient } from '@reelqueue/shared/webhooks/guarded-client'
import { describe, expect, it } from 'vitest'
import { claimDelivery, claimNextDelivery, recordAttempt } from './support/deliveries.ts'
import { startDelivering } from './support/delivering.ts'
import { until } from './support/wait.ts'
import { closedPort, endpoint } from './support/webhook-endpoint.ts'

const { seed, deps, attempt, pending, read } = await startDelivering()

describe('a server', () => {
  it('that has as many under way as it may keeps the others waiting, and these say so', async () => {
    const answers: (() => void)[] = []
    const server = await endpoint((response) => answers.push(() => response.end()))
    const other = await endpoint()
    const ids = await pending(server.url, 12)
    const [elsewhere = ''] = await pending(other.url)
    const long = { webhooks: createGuardedClient({ allowedNetworks: ['127.0.0.0/8'], timeoutMs: 30_000 }) }
    const running = Promise.all(ids.map((id) => attempt(id, long)))
    await until('ten are under way', () => answers.length === 10)
    await seed.sql(
      `UPDATE deliveries SET next_attempt_at = now() - interval '2 s' WHERE state = 'pending' AND next_attempt_at <= now()`,
    )
    const held = async (id: string) => toDeliveryJson(await read(id)).held?.reason ?? null
    const reasons = await Promise.all(ids.map(held))
    expect(reasons.toSorted()).toEqual([...Array(10).fill(null), 'server_busy', 'server_busy'])
    expect(toDeliveryJson(await read(ids[reasons.indexOf('server_busy')] ?? '')).held?.until).toBeNull()
    const list = await listDeliveries(seed.database, seed.projectId, { state: 'pending' }, 50)
    expect(list.map(toDeliveryJson).filter((one) => one.held?.reason === 'server_busy')).toHaveLength(2)
    // Due equally long, with nothing running to its origin.
    expect(await held(elsewhere)).toBeNull()
    for (const answer of answers) answer()
    await until('the others have come', () => answers.length === 12)
    for (const answer of answers.slice(10)) answer()
    await running
    expect(await Promise.all(ids.map(held))).toEqual(Array(12).fill(null))
    await long.webhooks.close()
  })

  it('gets ten at a time; a few jobs are enough for all that is due for it', async () => {
    let underWay = 0
    let most = 0
    const server = await endpoint(async (response) => {
      most = Math.max(most, ++underWay)
      // A slow answer: a quick origin gets more parallel deliveries.
      await delay(300)
      underWay--
      response.end()
    })
    const ids = await pending(server.url, 40)
    await Promise.all(ids.slice(0, 12).map((id) => attempt(id)))
    expect(server.seen.requests).toHaveLength(40)
    expect(most).toBeLessThanOrEqual(10)
    expect(await claimOverdueDeliveries(seed.database, 100)).toEqual([])
  })

  it('that answers quickly gets more at once, for as many as were sent away while it was busy', async () => {
    let underWay = 0
    let most = 0
    const server = await endpoint(async (response) => {
      most = Math.max(most, ++underWay)
      await delay(100)
      underWay--
      response.end()
    })
    const ids = await pending(server.url, 100)
    // Ten run at once; the other five are rejected as busy.
    await Promise.all(ids.slice(0, 15).map((id) => attempt(id)))
    expect(server.seen.requests).toHaveLength(100)
    expect(most).toBeGreaterThan(10)
    expect(most).toBeLessThanOrEqual(15)
  })

  it('gets nothing more from those whose last two attempts are not on record', async () => {
    const server = await endpoint(async (response) => {
      await delay(20)
      response.end()
    })
    const ids = await pending(server.url, 600)
    const { batches } = deps()
    let letRecord: () => void = () => undefined
    const recordable = new Promise<void>((resolve) => {
      letRecord = resolve
    })
    const record: typeof batches.record = async (finished) => {
      // Not before the limit of running deliveries is reached.
      if (server.seen.requests.length > 100) await recordable
      await batches.record(finished)
    }
    const attempts = Promise.all(ids.slice(0, 100).map((id) => attempt(id, { batches: { ...batches, record } })))
    let before = -1
    await until('nothing more is sent', async () => {
      await delay(500)
      const had = before
      before = server.seen.requests.length
      return had === before || undefined
    })
    expect(before).toBeLessThan(400)
    letRecord()
    await attempts
    expect(server.seen.requests).toHaveLength(600)
  })

  it('is left to another job after ten seconds', async () => {
    const server = await endpoint(async (response) => {
      // Well below the one-second timeout of an attempt.
      await delay(500)
      response.end()
    })
    const ids = await pending(server.url, 25)
    const enqueued: string[] = []
    const enqueueAgain = (_queue: string, id: string) => enqueued.push(id)
    await attempt(ids[0] ?? '', { queues: { ...deps().queues, enqueueAgain } })
    expect(server.seen.requests.length).toBeLessThan(25)
    // An enqueued job continues with due deliveries, even when its own delivery is done.
    expect(enqueued).toHaveLength(1)
    expect((await read(enqueued[0] ?? '')).state).toBe('succeeded')
    await attempt(enqueued[0] ?? '')
    expect(server.seen.requests).toHaveLength(25)
  }, 30_000)

  it.each([1, 2])('is looked at again for what came during look %i, and whose job was sent away', async (during) => {
    const server = await endpoint()
    const [first = ''] = await pending(server.url)
    await claimDelivery(seed.database, first, 60_000)
    const { batches, origins } = deps()
    const origin = `${seed.projectId} ${new URL(server.url).origin}`
    let late = ''
    let looks = 0
    const claim: typeof batches.claim = async (wanted) => {
      const claimed = await batches.claim(wanted)
      if (++looks > during) return claimed
      // Right after the first look nine other deliveries are running.
      if (looks === 1) for (let n = 0; n < 9; n++) origins.enter(origin)
      // Right after the last look, and not before, the rejected job is for a new delivery.
      if (looks === during) late = (await pending(server.url))[0] ?? ''
      expect(origins.enter(origin)).toEqual({ kind: 'busy' })
      return claimed
    }
    await attempt(first, { batches: { ...batches, claim } })
    expect((await read(late)).state).toBe('succeeded')
  })

  it('that does not answer rests, with all that is due for it and without an attempt; others get theirs', async () => {
    const dead = `http://127.0.0.1:${await closedPort()}/`
    const live = await endpoint()
    const ids = await pending(dead, 8)
    await attempt(ids[0] ?? '')
    const rows = (await Promise.all(ids.map(read))).sort((one, other) => other.attempts - one.attempts)
    expect(rows.map((row) => row.attempts)).toEqual([1, 1, 1, 1, 1, 0, 0, 0])
    for (const row of rows.slice(5)) {
      const { reason, until = null } = toDeliveryJson(row).held ?? {}
      expect(reason).toBe('server_resting')
      const waitsMs = Date.parse(until ?? '') - Date.now()
      expect(waitsMs).toBeGreaterThan(20_000)
      expect(waitsMs).toBeLessThan(61_000)
    }
    // Claims by id, claims by origin and the query for overdue deliveries pass over the row, and readiness does not
    // count the row.
    const [waiting] = rows.slice(5)
    expect(await claimDelivery(seed.database, waiting?.id ?? '', 1_000)).toBeNull()
    expect(await claimNextDelivery(seed.database, waiting?.origin ?? '', 1_000)).toBeNull()
    await seed.sql(`UPDATE deliveries SET due_at = now() - interval '1 hour' WHERE state = 'pending'`)
    expect(await claimOverdueDeliveries(seed.database, 100)).toEqual([])
    await seed.sql(`DELETE FROM delivery_attempts`)
    expect(await overdueWork(seed.database, 60_000)).toEqual({ count: 0, stalled: [] })
    await seed.sql(`UPDATE deliveries SET next_attempt_at = due_at WHERE state = 'pending'`)
    await seed.sql(`INSERT INTO step_runs VALUES ('deliver', now() - interval '5 minutes')`)
    expect(await overdueWork(seed.database, 60_000)).toEqual({ count: 0, stalled: [] })
    await seed.sql('DELETE FROM step_runs')
    // A delivery created during the cool-down waits too.
    const [late = ''] = await pending(dead)
    await attempt(late)
    expect(await read(late)).toMatchObject({ state: 'pending', attempts: 0 })
    const [id = ''] = await pending(live.url)
    await attempt(id)
    expect((await read(id)).state).toBe('succeeded')
  })

  it('that has not answered for five days is given up, delivery by delivery', async () => {
    const dead = `http://127.0.0.1:${await closedPort()}/`
    const [first = '', ...others] = await pending(dead, 7)
    await seed.sql(
      `UPDATE deliveries SET next_attempt_at = now() - CASE WHEN id = $1 THEN interval '4 days' ELSE interval '6 days' END WHERE id <> $2 AND state = 'pending'`,
      [others[5], first],
    )
    // Five are attempted; the two others have waited for six and four days.
    await attempt(first)
    const left = (await Promise.all(others.map(read))).filter((row) => row.attempts === 0)
    expect(left.map(({ state }) => state).toSorted()).toEqual(['failed', 'pending'])
    expect(left.find(({ state }) => state === 'failed')).toMatchObject({
      nextAttemptAt: null,
      finishedAt: expect.any(Date),
    })
    expect((await read(others[5] ?? '')).state).toBe('pending')
  })
})

it('one job is enough for all that is due for a server that answers', async () => {
  const server = await endpoint()
  const [first = ''] = await pending(server.url, 30)
  await attempt(first)
  expect(server.seen.requests).toHaveLength(30)
})

it('a redelivery outlives the attempt that was under way, whatever its outcome', async () => {
  const ids = await pending('http://127.0.0.1:1/', 2)
  for (const [n, id] of ids.entries()) {
    await seed.sql('UPDATE deliveries SET attempts = 9 WHERE id = $1', [id])
    const last = await claimDelivery(seed.database, id, 60_000)
    await redeliver(seed.database, id)
    const failed = {
      deliveryId: id,
      attempt: last?.attempt ?? 0,
      httpStatus: 500,
      errorClass: 'http_status',
      message: '',
      replySnippet: null,
      durationMs: 1,
    }
    // Recorded before the new attempt begins, and after.
    const next = n === 1 ? await claimDelivery(seed.database, id, 60_000) : null
    await recordAttempt(seed.database, failed, { state: 'failed' })
    expect(await read(id)).toMatchObject({ state: 'pending', attempts: next?.attempt ?? 10 })
  }
})

it('a redelivery begins at the first step of the schedule', async () => {
  const server = await endpoint((response) => response.writeHead(500).end())
  const [id = ''] = await pending(server.url)
  await seed.sql('UPDATE deliveries SET attempts = 9 WHERE id = $1', [id])
  await attempt(id)
  expect(await read(id)).toMatchObject({ state: 'failed', attempts: 10 })
  await seed.sql(`UPDATE deliveries SET pending_since = now() - interval '6 days' WHERE id = $1`, [id])
  await redeliver(seed.database, id)
  // A silent server gets five more days.
  expect((await read(id)).pendingSince.getTime()).toBeGreaterThan(Date.now() - 60_000)
  await attempt(id)
  const row = await read(id)
  expect(row).toMatchObject({ state: 'pending', attempts: 11 })
  expect((row.nextAttemptAt?.getTime() ?? 0) - Date.now()).toBeLessThan(6_100)
})

it('readiness distinguishes deliveries without attempts from deliveries that wait for others', async () => {
  const ids = await pending('http://queue.example/', 3)
  await seed.sql(`UPDATE deliveries SET due_at = now() - interval '1 hour' WHERE id = ANY ($1)`, [ids])
  await seed.sql('DELETE FROM delivery_attempts')
  expect((await overdueWork(seed.database, 60_000)).count).toBe(3)
  const live = await endpoint()
  await attempt((await pending(live.url))[0] ?? '')
  expect((await overdueWork(seed.database, 60_000)).count).toBe(0)
})

it('a receiver that is dead makes nothing overdue while jobs are taken; jobs that no worker takes do, however often they are enqueued', async () => {
  const ids = await pending('http://dead.example/', 50)
  await seed.sql('DELETE FROM delivery_attempts')
  const overdue = async () => await overdueWork(seed.database, 60_000)
  const setRan = (ago: string) =>
    seed.sql(
      `INSERT INTO step_runs VALUES ('deliver', now() - $1::interval) ON CONFLICT (step) DO UPDATE SET ran_at = excluded.ran_at`,
      [ago],
    )
  // Deliveries beyond the few enqueued by reconcile wait for a turn.
  await seed.sql(
    `UPDATE deliveries SET due_at = now() - interval '1 hour', next_attempt_at = now() - interval '1 hour' WHERE id = ANY ($1)`,
    [ids],
  )
  expect(await overdue()).toEqual({ count: 50, stalled: [] })
  await setRan('5 seconds')
  expect(await overdue()).toEqual({ count: 0, stalled: [] })
  // All were enqueued a moment ago, as reconcile does repeatedly, and nothing takes the jobs.
  await setRan('5 minutes')
  await seed.sql(`UPDATE deliveries SET due_at = now() + interval '30 seconds', wakes = 9 WHERE id = ANY ($1)`, [ids])
  expect(await overdue()).toEqual({ count: 0, stalled: ['deliver'] })
  // A delivery that waits for the next attempt is not late.
  await seed.sql(`UPDATE deliveries SET next_attempt_at = due_at WHERE id = ANY ($1)`, [ids])
  expect(await overdue()).toEqual({ count: 0, stalled: [] })
})

it('reconcile enqueues a few deliveries of each origin, however many are due for one', async () => {
  const many = await pending('http://a.example/', 50)
  const few = await pending('http://b.example/', 2)
  const enqueued = (await claimOverdueDeliveries(seed.database, 500)).map((one) => one.id)
  expect(enqueued.filter((id) => many.includes(id))).toHaveLength(20)
  expect(enqueued.filter((id) => few.includes(id))).toHaveLength(2)
  expect(await claimOverdueDeliveries(seed.database, 500)).toHaveLength(20)
})

it('reconcile enqueues deliveries of each project in turn, however many origins another project has', async () => {
  const many = await Promise.all(Array.from({ length: 60 }, (_, n) => pending(`http://h${n}.example/`)))
  const [few = ''] = await pending('http://quiet.example/')
  const other = await ensureProject(seed.database, 'another', () => 'sealed')
  await seed.sql('UPDATE deliveries SET project_id = $1 WHERE id = $2', [other.id, few])
  const enqueued = (await claimOverdueDeliveries(seed.database, 3)).map((one) => one.id)
  expect(enqueued).toContain(few)
  expect(enqueued.filter((id) => many.flat().includes(id))).toHaveLength(2)
})
