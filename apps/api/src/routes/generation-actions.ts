// Actions on a generation: cancel, retry (adopt is in adoption.ts). Each reply is the generation after the action.

import { Problem } from '@reelqueue/contract/terms/problem'
import { type GenerationJson, generationJson, toGenerationJson } from '@reelqueue/contract/wire/generation'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { cancelGeneration } from '@reelqueue/shared/store/cancellation'
import type { Moved } from '@reelqueue/shared/store/moves'
import type { CallingProject } from '@reelqueue/shared/store/projects'
import { retryGeneration } from '@reelqueue/shared/store/retries'
import type { ApiDeps } from '../deps.ts'
import { byId, mustFind, notFailed } from '../generations.ts'
import { problems } from '../openapi.ts'
import type { App } from '../typed-app.ts'

export function generationActionRoutes(app: App, deps: ApiDeps): void {
  const { database } = deps

  async function afterwards(project: CallingProject, id: string, moved: readonly Moved[]): Promise<GenerationJson> {
    deps.afterCommit({ moved })
    return toGenerationJson(await mustFind(deps, project, id))
  }

  app.post(
    '/v1/generations/:id/cancel',
    {
      schema: {
        tags: ['Generations'],
        summary: 'Cancel a generation',
        description:
          'Immediate, unless a submission is under way: then `cancel_requested_at` is set, and the generation becomes `cancelled` after the outcome. The provider cannot be told: when `may_be_charged` is true, the render goes on and may still be charged.',
        params: byId,
        response: { 200: generationJson, ...problems('not_found', 'illegal_move') },
      },
    },
    async ({ project, params }) => {
      const { id } = await mustFind(deps, project, params.id)
      const result = await cancelGeneration(database, id, CONFIGURED.facts.renderMaxMs)
      if (result.kind === 'ended') {
        deps.afterCommit({ moved: result.moved })
        throw new Problem('illegal_move', `The generation is ${result.status} and cannot be cancelled.`)
      }
      return await afterwards(project, id, result.kind === 'cancelled' ? result.moved : [])
    },
  )

  app.post(
    '/v1/generations/:id/retry',
    {
      schema: {
        tags: ['Generations'],
        summary: 'Retry a failed generation',
        description:
          'A new attempt of a failed generation, under the same id. The generation is queued again, and may be paid for again. If the provider had accepted a task for it, Reelqueue asks about that task first: if the task has a video, the video is taken and nothing is paid.',
        params: byId,
        response: { 200: generationJson, ...problems('not_found', 'illegal_move') },
      },
    },
    async ({ project, params }) => {
      const { id } = await mustFind(deps, project, params.id)
      const result = await retryGeneration(database, id)
      if (result.kind === 'illegal') throw notFailed(result.status)
      return await afterwards(project, id, result.moved)
    },
  )
}
