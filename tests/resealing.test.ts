// SECRET_KEY changes: with both keys every stored secret opens, and is sealed again page by page, while other processes
// write.

import { randomBytes } from 'node:crypto'
import { newId } from '@reelqueue/contract/terms/ids'
import { headerPlace, secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { readSealedHeaders } from '@reelqueue/shared/store/deliveries/endpoint-headers'
import { createEndpoint, deleteEndpoint, rotateSecret } from '@reelqueue/shared/store/deliveries/endpoints'
import { type Reseal, resealAll } from '@reelqueue/shared/store/operator/resealing'
import { ensureProject, rotateProjectSecret } from '@reelqueue/shared/store/projects'
import { readPreviousSecrets } from '@reelqueue/shared/store/rotation'
import { createSealer, type Sealer } from '@reelqueue/shared/webhooks/seal'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { runCommand } from './support/command.ts'
import { type Seed, seedDatabase } from './support/seed.ts'
import { until } from './support/wait.ts'

const [OLD_KEY, NEW_KEY] = [randomBytes(32), randomBytes(32)]
const old = createSealer(OLD_KEY)
const changing = createSealer(NEW_KEY, OLD_KEY)
const changed = createSealer(NEW_KEY)
const OVERLAP_MS = 60_000

let seed: Seed
beforeAll(async () => {
  seed = await seedDatabase()
})
afterAll(() => seed.close())
beforeEach(async () => {
  await seed.sql('DELETE FROM webhook_endpoints')
  await seed.sql(`DELETE FROM projects WHERE name <> 'default'`)
  await seed.sql('UPDATE projects SET webhook_secret = $1', [old.seal('whsec_default', secretPlace(seed.projectId))])
})

const resealWith =
  (sealer: Sealer): Reseal =>
  (sealed, place) =>
    sealer.isPresent(sealed) ? null : sealer.seal(sealer.open(sealed, place), place)

/** A project with a previous and a present secret. */
async function project(name: string): Promise<string> {
  const { id } = await ensureProject(seed.database, name, (its) => old.seal(`${name} 1`, secretPlace(its)))
  await rotateProjectSecret(seed.database, id, old.seal(`${name} 2`, secretPlace(id)), OVERLAP_MS)
  return id
}

async function endpointOf(projectId: string): Promise<string> {
  const id = newId('endpoint')
  const made = await createEndpoint(seed.database, {
    id,
    projectId,
    url: `https://example.com/${id}`,
    description: null,
    eventTypes: [],
    sealedSecret: old.seal('endpoint 1', secretPlace(id)),
    sealedHeaders: { authorization: old.seal('Bearer 1', headerPlace(id, 'authorization')) },
  })
  if (made.kind !== 'created') throw new Error(made.kind)
  return id
}

const projectRow = (id: string) => seed.database.prisma.project.findUniqueOrThrow({ where: { id } })
const endpointRow = (id: string) => seed.database.prisma.webhookEndpoint.findUniqueOrThrow({ where: { id } })
const previousOf = (sealer: Sealer, id: string, previous: unknown) =>
  readPreviousSecrets(previous).map((one) => sealer.open(one.secret, secretPlace(id)))

describe('sealing again', () => {
  it('leaves every secret, those before it, and every header to the new key alone, over several pages', async () => {
    const ids = await Promise.all(Array.from({ length: 120 }, (_, n) => project(`p${n}`)))
    const endpointId = await endpointOf(ids[7] ?? '')
    await rotateSecret(seed.database, endpointId, old.seal('endpoint 2', secretPlace(endpointId)), OVERLAP_MS)
    const until = readPreviousSecrets((await endpointRow(endpointId)).previousSecrets)[0]?.until
    expect(await resealAll(seed.database, resealWith(changing))).toEqual({ values: 1 + 240 + 3, closed: [] })

    for (const [n, id] of ids.entries()) {
      const row = await projectRow(id)
      expect(changed.open(row.webhookSecret, secretPlace(id))).toBe(`p${n} 2`)
      expect(previousOf(changed, id, row.previousSecrets)).toEqual([`p${n} 1`])
    }
    const row = await endpointRow(endpointId)
    expect(changed.open(row.secret, secretPlace(endpointId))).toBe('endpoint 2')
    expect(previousOf(changed, endpointId, row.previousSecrets)).toEqual(['endpoint 1'])
    expect(readPreviousSecrets(row.previousSecrets)[0]?.until).toBe(until)
    const { authorization = '' } = readSealedHeaders(row.headers)
    expect(changed.open(authorization, headerPlace(endpointId, 'authorization'))).toBe('Bearer 1')

    expect(await resealAll(seed.database, resealWith(changing))).toEqual({ values: 0, closed: [] })
  })

  it.each(['secret', 'header'] as const)('does not undo the change of a %s at the same time', async (what) => {
    const id = await endpointOf(seed.projectId)
    const change =
      what === 'secret'
        ? `secret = $1, previous_secrets = jsonb_build_array(jsonb_build_object('secret', secret, 'until', now() + interval '1 minute'))`
        : `headers = jsonb_build_object('authorization', $1::text)`
    const place = what === 'secret' ? secretPlace(id) : headerPlace(id, 'authorization')
    const { running } = await seed.holding(
      `SELECT 1 FROM webhook_endpoints WHERE id = '${id}' FOR UPDATE`,
      async (sql) => {
        const started = resealAll(seed.database, resealWith(changing))
        const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
        await until('it has read the row and waits to write it', async () => (await seed.sql(waiting)).length > 0)
        await sql(`UPDATE webhook_endpoints SET ${change} WHERE id = $2`, [old.seal('new', place), id])
        return { running: started }
      },
    )
    await running
    const row = await endpointRow(id)
    const { authorization = '' } = readSealedHeaders(row.headers)
    expect(changed.open(row.secret, secretPlace(id))).toBe(what === 'secret' ? 'new' : 'endpoint 1')
    expect(previousOf(changed, id, row.previousSecrets)).toEqual(what === 'secret' ? ['endpoint 1'] : [])
    expect(changed.open(authorization, headerPlace(id, 'authorization'))).toBe(what === 'header' ? 'new' : 'Bearer 1')
  })

  it('names what does not open and leaves it as it is; what was deleted is passed over', async () => {
    const [strange, deleted] = [await endpointOf(seed.projectId), await endpointOf(seed.projectId)]
    const lost = createSealer(randomBytes(32)).seal('lost', secretPlace(strange))
    await seed.sql('UPDATE webhook_endpoints SET secret = $1 WHERE id = $2', [lost, strange])
    await deleteEndpoint(seed.database, deleted)
    expect(await resealAll(seed.database, resealWith(changing))).toEqual({ values: 1, closed: [strange] })
    expect((await endpointRow(strange)).secret).toBe(lost)
  })
})

it('is a command, which says what it did, and ends with 1 when something does not open', async () => {
  const env = { DATABASE_URL: seed.url, SECRET_KEY: NEW_KEY.toString('base64') }
  const reseal = async (more: Readonly<Record<string, string>> = {}) => {
    const { ended, output } = runCommand(['keys', 'reseal'], { ...env, ...more })
    return { code: await ended, output: output() }
  }
  const alone = await reseal()
  expect(alone.code, alone.output).toBe(1)
  expect(alone.output).toContain(seed.projectId)
  const done = await reseal({ SECRET_KEY_PREVIOUS: OLD_KEY.toString('base64') })
  expect(done.code, done.output).toBe(0)
  expect(done.output).toContain('1 stored secret')
  const again = await reseal()
  expect(again.code, again.output).toBe(0)
})
