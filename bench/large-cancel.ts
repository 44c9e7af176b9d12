// `npm run bench -- --cancel N`: cancels a batch of N generations whose project has 50 endpoints at a dead origin, so that each row creates
// 50 deliveries. A second project is observed at the same time: the duration of an accept, and the wait of its generations for submission.

import { setTimeout as delay } from 'node:timers/promises'
import { newId } from '@reelqueue/contract/terms/ids'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { openDatabase } from '@reelqueue/shared/store/database'
import { addApiKey, ensureProject, newApiKey } from '@reelqueue/shared/store/projects'
import { createSealer } from '@reelqueue/shared/webhooks/seal'
import { startOutside } from './children.ts'
import { HEADERS, lineOf, SECRET, start } from './contestants.ts'
import { cpuSeconds } from './cpu.ts'
import { quantile } from './requests.ts'
import type { Servers } from './servers.ts'

const ENDPOINTS = 50
const SLOTS = 50
const QUIET_ROUNDS = 50
const EVERY_MS = 100

/** @returns a table in Markdown */
export async function benchLargeCancel(servers: Servers, lines: number): Promise<string> {
  const outside = await startOutside()
  await outside.tell({ do: 'begin', rendering: { kind: 'instant' } })
  const ours = await start('Reelqueue', servers, outside, {
    works: true,
    pollMinMs: 200,
    pollMaxMs: 2_000,
    slots: SLOTS,
  })
  const database = openDatabase(servers.databaseUrl, console.error)
  const sealer = createSealer(Buffer.from(SECRET, 'base64'))
  const secretOf = (id: string) => sealer.seal(`whsec_${SECRET}`, secretPlace(id))
  try {
    const noisy = await ensureProject(database, 'default', () => '')
    await database.prisma.webhookEndpoint.createMany({
      data: Array.from({ length: ENDPOINTS }, () => newId('endpoint')).map((id, index) => ({
        id,
        projectId: noisy.id,
        url: `https://hooks.invalid/${index}`,
        eventTypes: ['generation.cancelled'],
        secret: secretOf(id),
      })),
    })
    const quiet = await ensureProject(database, 'quiet', secretOf)
    const key = newApiKey()
    await addApiKey(database, quiet.id, 'bench', key)
    const asQuiet = { authorization: `Bearer ${key}` }
    const before = await look(ours.url, asQuiet, (round) => round < QUIET_ROUNDS)

    // No generation of the batch may end before the cancel.
    await ask(ours.url, '/v1/project/pause', { method: 'POST', headers: HEADERS })
    const body = Array.from({ length: lines }, (_, index) => `${JSON.stringify(lineOf(index))}\n`).join('')
    const headers = { ...HEADERS, 'content-type': 'application/x-ndjson' }
    const { id } = (await ask(ours.url, '/v1/batches', { method: 'POST', headers, body })).json
    await ask(ours.url, '/v1/project/resume', { method: 'POST', headers: HEADERS })
    const cpuBefore = await cpuSeconds(servers.pids.slice(0, 1))
    const startedAt = performance.now()
    let doneAfterMs = Number.NaN
    const cancelling = ask(ours.url, `/v1/batches/${id}/cancel`, { method: 'POST', headers: HEADERS })
    const done = cancelling.then(async (answer) => {
      for (;;) {
        const { json } = await ask(ours.url, `/v1/batches/${id}`, { headers: HEADERS })
        if (json.status === 'completed') break
        await delay(500)
      }
      doneAfterMs = performance.now() - startedAt
      return answer
    })
    const during = await look(ours.url, asQuiet, () => Number.isNaN(doneAfterMs))
    const answer = await done
    const cpuAfter = await cpuSeconds(servers.pids.slice(0, 1))
    const whileCreating = await look(ours.url, asQuiet, async () => (await database.prisma.pendingFanOut.count()) > 0)
    const createdAfterMs = performance.now() - startedAt
    const deliveries = await database.prisma.delivery.count()
    const size = `${lines.toLocaleString('en')} generations, ${deliveries.toLocaleString('en')} deliveries`
    return [
      `| ${size} | |`,
      '| --- | --: |',
      `| the cancel was answered with ${answer.status} after | ${(answer.ms / 1_000).toFixed(1)} s |`,
      `| all were cancelled, each with its event, after | ${(doneAfterMs / 1_000).toFixed(1)} s |`,
      `| all deliveries existed after | ${(createdAfterMs / 1_000).toFixed(1)} s |`,
      ...(cpuBefore === null || cpuAfter === null
        ? []
        : [`| processor time of Postgres | ${(cpuAfter - cpuBefore).toFixed(1)} s |`]),
      row('an accept of another project before', before.acceptMs),
      row('the same during the cancel', during.acceptMs),
      row('the same while the deliveries were created', whileCreating.acceptMs),
      row('from its accept to its submission before', before.submitMs),
      row('the same during the cancel', during.submitMs),
      row('the same while the deliveries were created', whileCreating.submitMs),
      `| accepts that were refused | ${during.refused + whileCreating.refused} of ${during.acceptMs.length + whileCreating.acceptMs.length} |`,
    ].join('\n')
  } finally {
    await database.close()
    await ours.stop()
    await outside.stop()
  }
}

const row = (what: string, ms: readonly number[]) =>
  `| ${what}: median, 99 of 100, worst | ${[0.5, 0.99].map((share) => Math.round(quantile(ms, share))).join(', ')}, ${Math.round(Math.max(...ms))} ms |`

/** Accepts generations one after the other, and follows each until its submission. */
async function look(
  url: string,
  headers: Record<string, string>,
  goesOn: (round: number) => boolean | Promise<boolean>,
) {
  const acceptMs: number[] = []
  const submitMs: number[] = []
  let refused = 0
  const following: Promise<void>[] = []
  for (let round = 0; await goesOn(round); round++) {
    const body = JSON.stringify(lineOf(round))
    const { status, ms, json } = await ask(url, '/v1/generations', {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body,
    })
    acceptMs.push(ms)
    if (status === 202) following.push(submitted(url, headers, json.id).then((took) => void submitMs.push(took)))
    else refused += 1
    await delay(EVERY_MS)
  }
  await Promise.all(following)
  return { acceptMs, submitMs, refused }
}

async function submitted(url: string, headers: Record<string, string>, id: string): Promise<number> {
  const startedAt = performance.now()
  for (;;) {
    const { json } = await ask(url, `/v1/generations/${id}`, { headers })
    if (json.submitted_at) return performance.now() - startedAt
    await delay(EVERY_MS)
  }
}

interface Answer {
  readonly status: number
  readonly ms: number
  readonly json: { readonly id: string; readonly status: string; readonly submitted_at: string | null }
}

async function ask(url: string, path: string, init: RequestInit): Promise<Answer> {
  const startedAt = performance.now()
  const response = await fetch(url + path, init)
  const json = (await response.json()) as Answer['json']
  return { status: response.status, ms: performance.now() - startedAt, json }
}
