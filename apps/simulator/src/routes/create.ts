// POST /v1/sora/videos. Everything is decided and recorded before the first byte of the answer, so a request with a lost answer is counted
// like every other request.
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { createAnswer, refusal } from '../answers.ts'
import type { Behaviour } from '../behaviour.ts'
import { type CreateRequest, readCreateRequest } from '../create-request.ts'
import { type Fault, faultAt, faultName, mayLeaveTask } from '../faults.ts'
import { sendInForm } from '../forms.ts'
import { misbehave, pause } from '../misbehave.ts'
import type { Simulation } from '../simulation.ts'
import { readTags } from '../tags.ts'

/** The upstream's code for a bad parameter, sent with HTTP 200. */
const BAD_PARAMETER = 1001

export function registerCreate(app: FastifyInstance, simulation: Simulation): void {
  app.post(
    '/v1/sora/videos',
    {
      errorHandler: (error: FastifyError, request, reply) => {
        const status = error.statusCode ?? 500
        if (status < 500) record(simulation, request, 'malformed', null)
        else request.log.error({ event: 'sim.error', err: error })
        return reply.code(status).send(refusal(status, error.message))
      },
    },
    async (request, reply) => {
      if (!simulation.authorizes(request.headers.authorization)) {
        record(simulation, request, 'unauthorized', null)
        return reply.code(401).send(refusal(401, 'invalid api key'))
      }
      const wanted = readCreateRequest(request.body)
      if ('problem' in wanted) {
        record(simulation, request, 'invalid', null)
        return refusal(BAD_PARAMETER, wanted.problem)
      }
      const behaviour = readTags(wanted.prompt)
      if ('problem' in behaviour) {
        record(simulation, request, 'bad_tag', null)
        return refusal(BAD_PARAMETER, behaviour.problem)
      }
      return submit(simulation, request, reply, wanted, behaviour)
    },
  )
}

async function submit(
  simulation: Simulation,
  request: FastifyRequest,
  reply: FastifyReply,
  wanted: CreateRequest,
  behaviour: Readonly<Behaviour>,
): Promise<unknown> {
  const fault = dueFault(simulation, wanted.prompt, behaviour)
  const answers = fault === null || fault.kind === 'slow' || fault.kind === 'form'
  const hasTask = answers || (behaviour.leavesTask && mayLeaveTask(fault))
  const task = hasTask ? simulation.tasks.create(wanted, behaviour, Date.now()) : null
  record(simulation, request, fault === null ? 'accepted' : faultName(fault), task?.id ?? null)
  const honest = () => (task === null ? {} : createAnswer(task))
  await pause(behaviour.createDelayMs)
  if (fault !== null && (await misbehave(request, reply, fault, honest, behaviour.retryAfter))) return reply
  if (fault?.kind !== 'form') return honest()
  await sendInForm(request, reply, fault.form, honest())
  return reply
}

/** An armed fault comes first, and does not advance the prompt's own plan. */
function dueFault(simulation: Simulation, prompt: string, behaviour: Readonly<Behaviour>): Fault | null {
  const armed = simulation.armed.take('create')
  if (armed !== null || behaviour.createFaults.length === 0) return armed
  return faultAt(behaviour.createFaults, simulation.countPrompt(prompt))
}

function record(simulation: Simulation, request: FastifyRequest, outcome: string, taskId: string | null): void {
  const body = request.body ?? null
  const bytes = Number(request.headers['content-length'] ?? JSON.stringify(body).length)
  simulation.submissions.add({ body, outcome, taskId }, bytes, Date.now())
  request.log.info({ event: 'sim.create', outcome, task_id: taskId })
}
