// Actions on a generation: cancel, retry (adopt is in adoption.ts). Each reply is the generation after the action.

import { Problem } from '@reelqueue/contract/terms/problem'
import { type GenerationJson, toGenerationJson } from '@reelqueue/contract/wire/generation'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { cancelGeneration } from '@reelqueue/shared/store/lifecycle/cancellation'
import type { Moved } from '@reelqueue/shared/store/lifecycle/moves'
import { retryGeneration } from '@reelqueue/shared/store/lifecycle/retries'
import type { CallingProject } from '@reelqueue/shared/store/projects'
import type { ApiDeps } from '../deps.ts'
import { mustFind, notFailed } from '../generations.ts'
import type { Serve } from '../typed-app.ts'

export function generationActionRoutes(serve: Serve<'key'>, deps: ApiDeps): void {
  const { database } = deps

  async function afterwards(project: CallingProject, id: string, moved: readonly Moved[]): Promise<GenerationJson> {
    deps.afterCommit({ moved })
    return toGenerationJson(await mustFind(deps, project, id))
  }

  serve('cancelGeneration', async ({ project, params }) => {
    const { id } = await mustFind(deps, project, params.id)
    const result = await cancelGeneration(database, id, CONFIGURED.facts.renderMaxMs)
    if (result.kind === 'ended') {
      deps.afterCommit({ moved: result.moved })
      throw new Problem('illegal_move', `The generation is ${result.status} and cannot be cancelled.`)
    }
    return await afterwards(project, id, result.kind === 'cancelled' ? result.moved : [])
  })

  serve('retryGeneration', async ({ project, params }) => {
    const { id } = await mustFind(deps, project, params.id)
    const result = await retryGeneration(database, id)
    if (result.kind === 'illegal') throw notFailed(result.status)
    return await afterwards(project, id, result.moved)
  })
}
