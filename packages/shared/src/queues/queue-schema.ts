// BullMQ's own tables in Postgres.

import {
  assertSchemaCompatibility,
  DEFAULT_SCHEMA,
  runMigrations,
  SchemaMigrationRequiredError,
  SchemaVersionMismatchError,
} from 'bullmq'
import pg from 'pg'
import { sessionOf } from '../runtime/postgres-session.ts'

/** Creates or upgrades BullMQ's tables; idempotent, and safe from several processes at once. */
export async function migrateQueues(databaseUrl: string): Promise<void> {
  await withClient(databaseUrl, (client) => runMigrations(client, DEFAULT_SCHEMA))
}

/** Whether BullMQ's tables have the schema of this BullMQ version. */
export async function areQueuesMigrated(databaseUrl: string): Promise<boolean> {
  return await withClient(databaseUrl, async (client) => {
    try {
      await assertSchemaCompatibility(client, DEFAULT_SCHEMA)
      return true
    } catch (error) {
      if (error instanceof SchemaMigrationRequiredError || error instanceof SchemaVersionMismatchError) return false
      throw error
    }
  })
}

async function withClient<T>(databaseUrl: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query(sessionOf(DEFAULT_SCHEMA))
    return await use(client)
  } finally {
    await client.end()
  }
}
