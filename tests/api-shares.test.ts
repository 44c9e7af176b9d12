// What one project can take of an API: its share of the connections to Postgres, and no more endpoints than it may have.

import { expect, it } from 'vitest'
import { clientOfNewProject, generationOf, MINIMAL, problemOf, type Reply, startApi } from './support/api.ts'
import { openClient } from './support/database.ts'

const { database, house, client } = await startApi()

it('two hundred changes that wait for a locked row keep nobody else waiting, and end', async () => {
  const quiet = await clientOfNewProject(house, 'quiet')
  const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
  const holder = await openClient(database.url)
  await holder.query('BEGIN')
  await holder.query('SELECT FROM generations WHERE id = $1 FOR UPDATE', [id])
  let areAnswered = false
  const cancels = Promise.all(Array.from({ length: 200 }, () => client.post(`/v1/generations/${id}/cancel`))).finally(
    () => {
      areAnswered = true
    },
  )
  // Until the last of them has given up, others are as they always are.
  let rounds = 0
  for (; !areAnswered; rounds++) {
    const made = generationOf(await quiet.post('/v1/generations', MINIMAL))
    expect((await quiet.get(`/v1/generations/${made.id}`)).status).toBe(200)
    expect(generationOf(await quiet.post(`/v1/generations/${made.id}/cancel`)).status).toBe('cancelled')
    expect((await client.post('/v1/generations', MINIMAL)).status).toBe(202)
    expect((await client.get(`/v1/generations/${id}`)).status).toBe(200)
  }
  expect(rounds).toBeGreaterThan(3)
  const replies: readonly Reply[] = await cancels
  for (const reply of replies) {
    const { code, status } = problemOf(reply)
    expect([
      [429, 'too_many_at_once'],
      [503, 'unavailable'],
    ]).toContainEqual([status, code])
    expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0)
  }
  await holder.query('ROLLBACK')
  await holder.end()
  expect(generationOf(await client.post(`/v1/generations/${id}/cancel`)).status).toBe('cancelled')
}, 120_000)

it('eighty endpoints that are made at once become fifty', async () => {
  const replies = await Promise.all(
    Array.from({ length: 80 }, (_, n) => client.post('/v1/webhook_endpoints', { url: `https://hooks.example/${n}` })),
  )
  const refused = replies.filter(({ status }) => status !== 201)
  expect(new Set(refused.map((reply) => problemOf(reply).code))).toEqual(new Set(['too_many_endpoints']))
  expect(refused).toHaveLength(30)
})
