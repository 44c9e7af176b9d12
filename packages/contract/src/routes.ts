// The table of all routes. The key of a row is its operation id: generated clients name their methods by it, so it never changes.

import { batchRoutes } from './routes/batches.ts'
import { globalAiRoutes } from './routes/compat/globalai.ts'
import { generationRoutes } from './routes/generations.ts'
import { operationRoutes } from './routes/operation.ts'
import { auditRoutes } from './routes/operator/audit.ts'
import { operatorGenerationRoutes } from './routes/operator/generations.ts'
import { sessionRoutes } from './routes/operator/sessions.ts'
import { projectRoutes } from './routes/project.ts'
import { webhookRoutes } from './routes/webhooks.ts'

export const ROUTES = {
  ...generationRoutes,
  ...batchRoutes,
  ...globalAiRoutes,
  ...projectRoutes,
  ...webhookRoutes,
  ...operationRoutes,
  ...operatorGenerationRoutes,
  ...auditRoutes,
  ...sessionRoutes,
} as const

export type OperationId = keyof typeof ROUTES
