// /admin/submitting: the state of the submission gate, and the operator's pause and resume.

import { toGateJson } from '@reelqueue/contract/wire/gate'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { releaseAdmitted } from '@reelqueue/shared/store/admission/admission'
import { readGate, setPaused } from '@reelqueue/shared/store/admission/submitting-gate'
import type { ApiDeps } from '../deps.ts'
import type { Serve } from '../typed-app.ts'

export function submittingRoutes(serve: Serve<'operator'>, { database, afterCommit }: ApiDeps): void {
  serve('getSubmitting', async () => toGateJson(await readGate(database, CONFIGURED.name)))

  serve('pauseSubmitting', async () => {
    await setPaused(database, CONFIGURED.name, true)
    await releaseAdmitted(database, CONFIGURED)
    return toGateJson(await readGate(database, CONFIGURED.name))
  })

  serve('resumeSubmitting', async () => {
    await setPaused(database, CONFIGURED.name, false)
    afterCommit({ admissionDue: true })
    return toGateJson(await readGate(database, CONFIGURED.name))
  })
}
