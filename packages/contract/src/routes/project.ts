// Routes of /v1/project: the project of the key that asks.

import { projectChange, projectJson, projectWithSecret } from '../wire/project.ts'
import { secretRotation } from '../wire/webhook-endpoint.ts'
import { BODY_PROBLEMS, type Route } from './route.ts'

export const projectRoutes = {
  getProject: {
    method: 'GET',
    path: '/v1/project',
    caller: 'key',
    tag: 'Project',
    summary: 'Read the project of this key',
    replies: { 200: projectJson },
    problems: [],
  },
  changeProject: {
    method: 'PATCH',
    path: '/v1/project',
    caller: 'key',
    tag: 'Project',
    summary: 'Change the defaults of the project',
    body: projectChange,
    replies: { 200: projectJson },
    problems: BODY_PROBLEMS,
  },
  rotateProjectSecret: {
    method: 'POST',
    path: '/v1/project/rotate_webhook_secret',
    caller: 'key',
    tag: 'Project',
    summary: 'Give the project a new webhook secret',
    description:
      'The secret signs webhooks to the `webhook_url` of requests. Only this reply shows the secret. The previous secret also signs for a day, or for `overlap_seconds`.',
    body: secretRotation,
    replies: { 200: projectWithSecret },
    problems: BODY_PROBLEMS,
  },
  pauseProject: {
    method: 'POST',
    path: '/v1/project/pause',
    caller: 'key',
    tag: 'Project',
    summary: 'Pause: accept, but submit nothing more',
    description:
      'Queued generations keep their positions; generations in flight go on. A pause is one statement for any backlog.',
    replies: { 200: projectJson },
    problems: [],
  },
  resumeProject: {
    method: 'POST',
    path: '/v1/project/resume',
    caller: 'key',
    tag: 'Project',
    summary: 'Resume submitting',
    replies: { 200: projectJson },
    problems: [],
  },
} as const satisfies Record<string, Route>
