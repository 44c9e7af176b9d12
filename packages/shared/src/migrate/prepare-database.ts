import { migrateQueues } from '../queues/queue-schema.ts'
import { migrate } from './migrate.ts'

/** Prepares a database: Reelqueue's tables by Prisma's engine, then BullMQ's. @returns the migrations applied */
export async function prepareDatabase(databaseUrl: string): Promise<string[]> {
  const { applied } = await migrate(databaseUrl, { onWait: console.error })
  await migrateQueues(databaseUrl)
  return applied
}
