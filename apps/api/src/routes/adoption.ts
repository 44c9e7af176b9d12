// POST …/adopt: a failed generation adopts a task found by hand; for a caller with a key of the project, or for an
// operator.

import { Later, Problem } from '@reelqueue/contract/terms/problem'
import { adoptRequest } from '@reelqueue/contract/wire/adopt-request'
import { type GenerationJson, generationJson, toGenerationJson } from '@reelqueue/contract/wire/generation'
import { type Adoption, adoptTask } from '@reelqueue/shared/store/adoption'
import { findAnyGeneration, type Generation } from '@reelqueue/shared/store/generations'
import type { AskTask } from '../ask-task.ts'
import type { ApiDeps } from '../deps.ts'
import { byId, mustFind, notFailed } from '../generations.ts'
import { problems, refusals } from '../openapi.ts'
import { waitOutside } from '../request-turns.ts'
import type { App } from '../typed-app.ts'

/** A render ends within minutes. */
const FULL_AGAIN_S = 30

const REFUSED = [
  'malformed_json',
  'not_found',
  'illegal_move',
  'upstream_task_taken',
  'unsupported_media_type',
  'validation_failed',
  'upstream_task_unknown',
  'slots_full',
  'upstream_unavailable',
] as const

export function adoptionRoute(app: App, deps: ApiDeps): void {
  app.post(
    '/v1/generations/:id/adopt',
    {
      schema: {
        tags: ['Generations'],
        summary: 'Give a failed generation an upstream task that a person found',
        description:
          "For example a task in the provider's console after `submission_unknown`. Reelqueue asks the provider about the task and then polls it; the outcome of the task becomes the outcome of the generation. Nothing is paid. A submission of the generation must have an unknown outcome. A task that still renders takes a slot. A success of the generation that arrives in the meantime is taken instead.",
        params: byId,
        body: adoptRequest,
        response: { 200: generationJson, ...problems(...REFUSED, 'no_unknown_submission') },
      },
    },
    async (request) => {
      const { project, params, body } = request
      const generation = await mustFind(deps, project, params.id)
      const askTask: AskTask = (...asked) => waitOutside(request, () => deps.askTask(...asked))
      await adopt({ ...deps, askTask }, generation, body.upstream_task_id, false)
      return toGenerationJson(await mustFind(deps, project, params.id))
    },
  )
}

/** The same route for operators, for generations of any project. */
export function operatorAdoptionRoute(app: App, deps: ApiDeps): void {
  app.addHook('onRequest', async (request, reply) => deps.operators.require(request, reply))

  async function mustFindAny(id: string): Promise<Generation> {
    const generation = await findAnyGeneration(deps.database, id)
    if (!generation) throw new Problem('not_found')
    return generation
  }

  app.post(
    '/admin/generations/:id/adopt',
    {
      schema: {
        tags: ['Operation'],
        security: [{ operator: [] }],
        summary: 'Give any failed generation an upstream task that a person found',
        description:
          'As `POST /v1/generations/{id}/adopt`, for a generation of any project and with any outcome of its submissions. If a submission is answered with that task later, the task goes to that submission.',
        params: byId,
        body: adoptRequest,
        response: {
          200: generationJson,
          ...refusals(
            ...REFUSED,
            'too_many_at_once',
            'operator_login_required',
            'too_many_guesses',
            'cross_site',
            'read_only',
          ),
        },
      },
    },
    async ({ params, body }): Promise<GenerationJson> => {
      await adopt(deps, await mustFindAny(params.id), body.upstream_task_id, true)
      return toGenerationJson(await mustFindAny(params.id))
    },
  )
}

async function adopt(deps: ApiDeps, { id, projectId }: Generation, taskId: string, isOperator: boolean): Promise<void> {
  const { database, afterCommit, askTask, settings } = deps
  const { slots, slotsPerModel } = settings
  const adoptWhen = (task: Adoption['task']) =>
    adoptTask(database, id, { taskId, isOperator, task, slots, slotsPerModel })
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
