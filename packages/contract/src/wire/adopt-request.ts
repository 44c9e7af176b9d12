// The request to adopt a task: the provider's id of the task, as the provider's console shows the id.

import { z } from 'zod'
import { isTaskId, TASK_ID_CHARS_MAX } from '../terms/task-id.ts'

const ALLOWED = `1 to ${TASK_ID_CHARS_MAX} characters, none of them a control character`

export const adoptRequest = z
  .strictObject({
    upstream_task_id: z
      .string()
      .refine(isTaskId, { params: { rule: 'task_id', allowed: ALLOWED } })
      .transform((id) => id.trim())
      .describe("The provider's id of the task, such as `sora_abc123def456`."),
  })
  .meta({ id: 'AdoptRequest', example: { upstream_task_id: 'sora_abc123def456' } })
