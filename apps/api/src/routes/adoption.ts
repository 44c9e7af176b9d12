// POST …/adopt: a failed generation adopts a task found by hand; for a caller with a key of the project, or for an
// operator.

import { Later, Problem } from '@reelqueue/contract/terms/problem'
import { type GenerationJson, toGenerationJson } from '@reelqueue/contract/wire/generation'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { findAnyGeneration } from '@reelqueue/shared/store/intake/generation-reads'
import type { Generation } from '@reelqueue/shared/store/intake/generations'
import { type Adoption, adoptTask } from '@reelqueue/shared/store/lifecycle/adoption'
import type { AskTask } from '../ask-task.ts'
import type { ApiDeps } from '../deps.ts'
import { mustFind, notFailed } from '../generations.ts'
import { waitOutside } from '../request-turns.ts'
import type { Serve } from '../typed-app.ts'

/** A render ends within minutes. */
const FULL_AGAIN_S = 30

export function adoptionRoute(serve: Serve<'key'>, deps: ApiDeps): void {
  serve('adoptTask', async (request) => {
    const { project, params, body } = request
    const generation = await mustFind(deps, project, params.id)
    const askTask: AskTask = (...asked) => waitOutside(request, () => deps.askTask(...asked))
    await adopt({ ...deps, askTask }, generation, body.upstream_task_id, false)
    return toGenerationJson(await mustFind(deps, project, params.id))
  })
}

/** The same route for operators, for generations of any project. */
export function operatorAdoptionRoute(serve: Serve<'operator'>, deps: ApiDeps): void {
  async function mustFindAny(id: string): Promise<Generation> {
    const generation = await findAnyGeneration(deps.database, id)
    if (!generation) throw new Problem('not_found')
    return generation
  }

  serve('adoptTaskAsOperator', async ({ params, body }): Promise<GenerationJson> => {
    await adopt(deps, await mustFindAny(params.id), body.upstream_task_id, true)
    return toGenerationJson(await mustFindAny(params.id))
  })
}

async function adopt(deps: ApiDeps, { id, projectId }: Generation, taskId: string, isOperator: boolean): Promise<void> {
  const { database, afterCommit, askTask, settings } = deps
  const { slots, slotsPerModel } = settings
  const adoptWhen = (task: Adoption['task']) =>
    adoptTask(database, id, { taskId, isOperator, task, upstream: CONFIGURED, slots, slotsPerModel })
  let result = await adoptWhen(null)
  if (result.kind === 'ask') result = await adoptWhen(await askTask(projectId, taskId))
  switch (result.kind) {
    case 'illegal':
      throw notFailed(result.status)
    case 'taken':
      throw new Problem('upstream_task_taken')
    case 'nothing_unknown':
      throw new Problem('no_unknown_submission')
    case 'full':
      throw new Later('slots_full', FULL_AGAIN_S)
    case 'ask':
      throw new Error('the provider was asked, and is to be asked again')
  }
  afterCommit({ moved: result.moved })
}
