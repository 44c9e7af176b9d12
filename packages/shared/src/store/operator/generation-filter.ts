// The filter of an operator over generations as SQL: for the list, an export, and an operation.

import { idBefore } from '@reelqueue/contract/terms/ids'
import { Prisma } from '../generated/client.ts'

/** As `generationFilter` of the contract reads it. */
export interface OperatorFilter {
  readonly projectId?: string | undefined
  readonly statuses?: readonly string[] | undefined
  readonly errorCode?: string | undefined
  readonly model?: string | undefined
  readonly batchId?: string | undefined
  readonly customId?: string | undefined
  /** A field of the metadata, as text. */
  readonly metadata?: { readonly key: string; readonly value: string } | undefined
  readonly prompt?: string | undefined
  readonly isPaidWithoutVideo?: boolean | undefined
  readonly isUnknown?: boolean | undefined
  readonly createdAfter?: Date | undefined
  readonly createdBefore?: Date | undefined
}

/** All conditions of the filter on a row of `generations`, beginning with AND; empty without conditions. */
export function filterSql(filter: OperatorFilter): Prisma.Sql {
  const { projectId, statuses, errorCode, model, batchId, customId, metadata, prompt } = filter
  const conditions: Prisma.Sql[] = []
  if (projectId !== undefined) conditions.push(Prisma.sql`project_id = ${projectId}`)
  if (statuses !== undefined) conditions.push(Prisma.sql`status = ANY (${statuses}::text[]::generation_status[])`)
  if (errorCode !== undefined) conditions.push(Prisma.sql`status = 'failed' AND error_code = ${errorCode}`)
  if (model !== undefined) conditions.push(Prisma.sql`model = ${model}`)
  if (batchId !== undefined) conditions.push(Prisma.sql`batch_id = ${batchId}`)
  if (customId !== undefined) conditions.push(Prisma.sql`custom_id = ${customId}`)
  if (metadata !== undefined) conditions.push(Prisma.sql`metadata ->> ${metadata.key} = ${metadata.value}`)
  if (prompt !== undefined) conditions.push(Prisma.sql`prompt ILIKE ${`%${escaped(prompt)}%`}`)
  if (filter.isPaidWithoutVideo)
    conditions.push(Prisma.sql`
      status IN ('failed', 'cancelled') AND may_be_charged AND video_url IS NULL`)
  if (filter.isUnknown) conditions.push(Prisma.sql`status = 'failed' AND error_code = 'submission_unknown'`)
  conditions.push(...idRange(filter))
  return conditions.length === 0 ? Prisma.empty : Prisma.sql`AND ${Prisma.join(conditions, ' AND ')}`
}

/** Ids ascend with age, so a range of time is a range of ids. */
export function idRange({ createdAfter, createdBefore }: OperatorFilter): Prisma.Sql[] {
  return [
    ...(createdAfter === undefined ? [] : [Prisma.sql`id >= ${idBefore('generation', createdAfter.getTime())}`]),
    ...(createdBefore === undefined ? [] : [Prisma.sql`id < ${idBefore('generation', createdBefore.getTime())}`]),
  ]
}

/** The signs of LIKE stand for themselves. */
const escaped = (words: string) => words.replace(/[\\%_]/g, (sign) => `\\${sign}`)
