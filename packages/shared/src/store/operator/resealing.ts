// Seals stored secrets again, page by page, when SECRET_KEY changes. Everything works during the run, and the run may
// be repeated.

import { headerPlace, secretPlace } from '../../domain/sealed-places.ts'
import type { Database } from '../database.ts'
import { readSealedHeaders } from '../deliveries/endpoint-headers.ts'
import { Prisma } from '../generated/client.ts'
import { readPreviousSecrets } from '../rotation.ts'
import { sql } from '../sql.ts'

export interface Resealing {
  /** Values that were sealed again. */
  readonly values: number
  /** Projects and endpoints with a value that does not open; their rows stay unchanged. */
  readonly closed: readonly string[]
}

/** Null: the value is sealed correctly. Throws for a value that does not open. */
export type Reseal = (sealed: string, place: string) => string | null

const PAGE = 100
/** For a row that changes at the same time. */
const TRIES_MAX = 5

const TABLES = {
  projects: Prisma.raw(
    `SELECT id, webhook_secret AS secret, previous_secrets AS previous, '{}'::jsonb AS headers FROM projects`,
  ),
  webhook_endpoints: Prisma.raw(
    `SELECT id, secret, previous_secrets AS previous, headers FROM webhook_endpoints WHERE deleted_at IS NULL`,
  ),
} as const
type Table = keyof typeof TABLES

interface Row {
  readonly id: string
  readonly secret: string
  readonly previous: unknown
  readonly headers: unknown
}

/** Seals again with `reseal`: present and previous signing secrets, and custom headers. */
export async function resealAll(database: Database, reseal: Reseal): Promise<Resealing> {
  let values = 0
  const closed: string[] = []
  for (const table of ['projects', 'webhook_endpoints'] as const) {
    let after = ''
    for (;;) {
      const rows = await readRows(database, table, Prisma.sql`id > ${after}`)
      for (const row of rows) {
        const count = await resealRow(database, table, row, reseal)
        if (count === null) closed.push(row.id)
        else values += count
      }
      if (rows.length < PAGE) break
      after = rows.at(-1)?.id ?? after
    }
  }
  return { values, closed }
}

async function readRows({ prisma }: Database, table: Table, which: Prisma.Sql): Promise<Row[]> {
  return await prisma.$queryRaw<Row[]>(sql.named('readSealed')`
    SELECT *
    FROM (${TABLES[table]}) AS stored
    WHERE ${which}
    ORDER BY id
    LIMIT ${PAGE}`)
}

/** @returns the number of values of the row that were sealed again; null when a value does not open */
async function resealRow(database: Database, table: Table, read: Row, reseal: Reseal): Promise<number | null> {
  let row: Row | undefined = read
  for (let tries = 0; row && tries < TRIES_MAX; tries++) {
    const sealed = sealedAnew(row, reseal)
    if (sealed === null) return null
    if (sealed.count === 0) return 0
    if (await write(database, table, row, sealed)) return sealed.count
    ;[row] = await readRows(database, table, Prisma.sql`id = ${read.id}`)
  }
  if (row) throw new Error(`${read.id} is changed all the time`)
  return 0
}

interface SealedAnew {
  readonly secret: string
  readonly previous: unknown
  readonly headers: Readonly<Record<string, string>>
  readonly count: number
}

function sealedAnew({ id, secret, previous, headers }: Row, reseal: Reseal): SealedAnew | null {
  let count = 0
  const anew = (sealed: string, place: string) => {
    const next = reseal(sealed, place)
    if (next !== null) count += 1
    return next ?? sealed
  }
  try {
    const sealed = {
      secret: anew(secret, secretPlace(id)),
      previous: readPreviousSecrets(previous).map((one) => ({ ...one, secret: anew(one.secret, secretPlace(id)) })),
      headers: Object.fromEntries(
        Object.entries(readSealedHeaders(headers)).map(([name, value]) => [name, anew(value, headerPlace(id, name))]),
      ),
    }
    return { ...sealed, count }
  } catch {
    return null
  }
}

/**
 * @returns false when the row has changed since it was read. Previous secrets change only together with the present
 * secret
 */
async function write({ prisma }: Database, table: Table, row: Row, sealed: SealedAnew): Promise<boolean> {
  const json = (value: unknown) => Prisma.sql`${JSON.stringify(value)}::jsonb`
  const previous = Prisma.sql`previous_secrets = ${json(sealed.previous)}`
  const written =
    table === 'projects'
      ? await prisma.$executeRaw(sql.named('resealProject')`
        UPDATE projects
        SET webhook_secret = ${sealed.secret}, ${previous}
        WHERE id = ${row.id} AND webhook_secret = ${row.secret}`)
      : await prisma.$executeRaw(sql.named('resealEndpoint')`
        UPDATE webhook_endpoints
        SET secret = ${sealed.secret}, ${previous}, headers = ${json(sealed.headers)}
        WHERE id = ${row.id} AND secret = ${row.secret} AND headers = ${json(row.headers)}`)
  return written === 1
}
