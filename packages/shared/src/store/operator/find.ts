// What a text may mean: an id of any kind, an upstream task, an id of the customer, the address of an endpoint, the name of
// a project. Each question is a probe of an index.

import { isId } from '@reelqueue/contract/terms/ids'
import type { Database } from '../database.ts'
import { sql } from '../sql.ts'

export interface Found {
  readonly kind: 'generation' | 'batch' | 'project' | 'endpoint' | 'delivery' | 'event' | 'submission'
  readonly id: string
  readonly projectId: string
  readonly label: string
  readonly by: 'id' | 'upstream_task_id' | 'custom_id' | 'idempotency_key' | 'url' | 'name'
}

/** Results of one question. */
const EACH_MAX = 10

/**
 * At most some dozens of things that `text` names; of one project when `projectId` is given. `upstreams`: whose tasks are
 * looked for.
 */
export async function findAnything(
  { prisma }: Database,
  text: string,
  upstreams: readonly string[],
  projectId: string | undefined,
): Promise<Found[]> {
  const found = await prisma.$queryRaw<Found[]>(
    (['generation', 'batch', 'project', 'endpoint', 'delivery', 'event', 'submission'] as const).some((noun) =>
      isId(noun, text),
    )
      ? byId(text)
      : byName(text, upstreams),
  )
  return found.filter((one) => projectId === undefined || one.projectId === projectId)
}

const byId = (id: string) => sql.named('findById')`
  SELECT 'generation' AS kind, id, project_id AS "projectId", left(prompt, 100) AS label, 'id' AS by
  FROM generations
  WHERE id = ${id}
  UNION ALL
  SELECT 'batch', id, project_id, total || ' generations', 'id'
  FROM batches
  WHERE id = ${id}
  UNION ALL
  SELECT 'project', id, id, name, 'id'
  FROM projects
  WHERE id = ${id}
  UNION ALL
  SELECT 'endpoint', id, project_id, url, 'id'
  FROM webhook_endpoints
  WHERE id = ${id}
  UNION ALL
  SELECT 'delivery', id, project_id, url, 'id'
  FROM deliveries
  WHERE id = ${id}
  UNION ALL
  SELECT 'event', id, project_id, type, 'id'
  FROM events
  WHERE id = ${id}
  UNION ALL
  SELECT 'generation', g.id, g.project_id, left(g.prompt, 100), 'id'
  FROM submissions s
  JOIN generations g ON g.id = s.generation_id
  WHERE s.id = ${id}`

const byName = (text: string, upstreams: readonly string[]) => sql.named('findByName')`
  SELECT 'generation' AS kind, g.id, g.project_id AS "projectId", left(g.prompt, 100) AS label,
    'upstream_task_id' AS by
  FROM submissions s
  JOIN generations g ON g.id = s.generation_id
  WHERE s.upstream = ANY (${upstreams}::text[]) AND s.upstream_task_id = ${text}
  UNION ALL
  SELECT 'generation', each.id, projects.id, left(each.prompt, 100), 'custom_id'
  FROM projects
  CROSS JOIN LATERAL (
    SELECT id, prompt
    FROM generations
    WHERE project_id = projects.id AND custom_id = ${text}
    ORDER BY id DESC
    LIMIT ${EACH_MAX}
  ) each
  UNION ALL
  SELECT 'generation', each.id, projects.id, left(each.prompt, 100), 'idempotency_key'
  FROM projects
  CROSS JOIN LATERAL (
    SELECT id, prompt
    FROM generations
    WHERE project_id = projects.id AND idempotency_key = ${text}
    LIMIT 1
  ) each
  UNION ALL
  SELECT 'project', id, id, name, 'name'
  FROM projects
  WHERE name = ${text}
  UNION ALL
  SELECT 'endpoint', each.id, projects.id, each.url, 'url'
  FROM projects
  CROSS JOIN LATERAL (
    SELECT id, url
    FROM webhook_endpoints
    WHERE project_id = projects.id AND url = ${text}
    LIMIT 1
  ) each
  LIMIT 50`
