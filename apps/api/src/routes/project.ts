// /v1/project: the project of the request's key, and the project's defaults.

import { projectChange, projectJson, projectWithSecret, toProjectJson } from '@reelqueue/contract/wire/project'
import { overlapMs, secretRotation } from '@reelqueue/contract/wire/webhook-endpoint'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { releaseAdmitted } from '@reelqueue/shared/store/admission'
import { changeProject, pauseProject, rotateProjectSecret } from '@reelqueue/shared/store/projects'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import type { ApiDeps } from '../deps.ts'
import { problems } from '../openapi.ts'
import type { App } from '../typed-app.ts'

export function projectRoutes(app: App, { database, afterCommit, sealer }: ApiDeps): void {
  app.get(
    '/v1/project',
    {
      schema: {
        tags: ['Project'],
        summary: 'Read the project of this key',
        response: { 200: projectJson, ...problems() },
      },
    },
    async ({ project }) => toProjectJson(project),
  )

  app.patch(
    '/v1/project',
    {
      schema: {
        tags: ['Project'],
        summary: 'Change the defaults of the project',
        body: projectChange,
        response: { 200: projectJson, ...problems('malformed_json', 'unsupported_media_type', 'validation_failed') },
      },
    },
    async ({ project, body }) => {
      const changes = { onUnknownSubmission: body.on_unknown_submission, maxInFlight: body.max_in_flight }
      const changed = await changeProject(database, project.id, changes)
      afterCommit({ admissionDue: true })
      return toProjectJson(changed)
    },
  )

  app.post(
    '/v1/project/rotate_webhook_secret',
    {
      schema: {
        tags: ['Project'],
        summary: 'Give the project a new webhook secret',
        description:
          'The secret signs webhooks to the `webhook_url` of requests. Only this reply shows the secret. The previous secret also signs for a day, or for `overlap_seconds`.',
        body: secretRotation,
        response: {
          200: projectWithSecret,
          ...problems('malformed_json', 'unsupported_media_type', 'validation_failed'),
        },
      },
    },
    async ({ project, body }) => {
      const webhook_secret = newWebhookSecret()
      await rotateProjectSecret(
        database,
        project.id,
        sealer.seal(webhook_secret, secretPlace(project.id)),
        overlapMs(body),
      )
      return { ...toProjectJson(project), webhook_secret }
    },
  )

  app.post(
    '/v1/project/pause',
    {
      schema: {
        tags: ['Project'],
        summary: 'Pause: accept, but submit nothing more',
        description:
          'Queued generations keep their positions; generations in flight go on. A pause is one statement for any backlog.',
        response: { 200: projectJson, ...problems() },
      },
    },
    async ({ project }) => {
      const paused = await pauseProject(database, project.id, true)
      await releaseAdmitted(database, project.id)
      afterCommit({ admissionDue: true })
      return toProjectJson(paused)
    },
  )

  app.post(
    '/v1/project/resume',
    { schema: { tags: ['Project'], summary: 'Resume submitting', response: { 200: projectJson, ...problems() } } },
    async ({ project }) => {
      const resumed = await pauseProject(database, project.id, false)
      afterCommit({ admissionDue: true })
      return toProjectJson(resumed)
    },
  )
}
