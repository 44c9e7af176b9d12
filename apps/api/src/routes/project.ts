// /v1/project: the project of the request's key, and the project's defaults.

import { toProjectJson } from '@reelqueue/contract/wire/project'
import { overlapMs } from '@reelqueue/contract/wire/webhook-endpoint'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { releaseAdmitted } from '@reelqueue/shared/store/admission/admission'
import { changeProject, pauseProject, rotateProjectSecret } from '@reelqueue/shared/store/projects'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import type { ApiDeps } from '../deps.ts'
import type { Serve } from '../typed-app.ts'

export function projectRoutes(serve: Serve<'key'>, { database, afterCommit, sealer }: ApiDeps): void {
  serve('getProject', async ({ project }) => toProjectJson(project))

  serve('changeProject', async ({ project, body }) => {
    const changes = { onUnknownSubmission: body.on_unknown_submission, maxInFlight: body.max_in_flight }
    const changed = await changeProject(database, project.id, changes)
    afterCommit({ admissionDue: true })
    return toProjectJson(changed)
  })

  serve('rotateProjectSecret', async ({ project, body }) => {
    const webhook_secret = newWebhookSecret()
    await rotateProjectSecret(
      database,
      project.id,
      sealer.seal(webhook_secret, secretPlace(project.id)),
      overlapMs(body),
    )
    return { ...toProjectJson(project), webhook_secret }
  })

  serve('pauseProject', async ({ project }) => {
    const paused = await pauseProject(database, project.id, true)
    await releaseAdmitted(database, { projectId: project.id })
    afterCommit({ admissionDue: true })
    return toProjectJson(paused)
  })

  serve('resumeProject', async ({ project }) => {
    const resumed = await pauseProject(database, project.id, false)
    afterCommit({ admissionDue: true })
    return toProjectJson(resumed)
  })
}
