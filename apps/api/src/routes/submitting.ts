// /admin/submitting: the state of the submission gate, and the operator's pause and resume.

import { gateJson, toGateJson } from '@reelqueue/contract/wire/gate'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { releaseAdmitted } from '@reelqueue/shared/store/admission'
import { readGate, setPaused } from '@reelqueue/shared/store/submitting-gate'
import type { ApiDeps } from '../deps.ts'
import { refusals } from '../openapi.ts'
import type { App } from '../typed-app.ts'

const tags = ['Operation']
const security = [{ operator: [] }]
const response = {
  200: gateJson,
  ...refusals('operator_login_required', 'too_many_guesses', 'cross_site', 'read_only'),
}

export function submittingRoutes(app: App, { database, operators, afterCommit }: ApiDeps): void {
  app.addHook('onRequest', async (request, reply) => operators.require(request, reply))

  app.get(
    '/admin/submitting',
    { schema: { tags, security, summary: 'Whether generations are submitted now, and if not, why', response } },
    async () => toGateJson(await readGate(database)),
  )

  app.post(
    '/admin/submitting/pause',
    { schema: { tags, security, summary: 'Pause all submitting; accepting and polling go on', response } },
    async () => {
      await setPaused(database, CONFIGURED.name, true)
      await releaseAdmitted(database, null)
      return toGateJson(await readGate(database))
    },
  )

  app.post(
    '/admin/submitting/resume',
    {
      schema: {
        tags,
        security,
        summary: 'Resume submitting, also after a refusal by the provider',
        description: 'For example after the balance was topped up: submitting resumes at once.',
        response,
      },
    },
    async () => {
      await setPaused(database, CONFIGURED.name, false)
      afterCommit({ admissionDue: true })
      return toGateJson(await readGate(database))
    },
  )
}
