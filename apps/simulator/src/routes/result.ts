// GET /v1/result/{id}. A poll answered by a fault still counts as a poll of the task, and never changes the task.
import type { FastifyInstance } from 'fastify'
import { pollAnswer, refusal } from '../answers.ts'
import { faultAt, faultName } from '../faults.ts'
import { sendInForm } from '../forms.ts'
import { misbehave, pause } from '../misbehave.ts'
import type { Simulation } from '../simulation.ts'
import type { Task } from '../tasks.ts'

export function registerResult(app: FastifyInstance, simulation: Simulation): void {
  app.get<{ Params: { id: string } }>('/v1/result/:id', async (request, reply) => {
    const { id } = request.params
    const count = (outcome: string): void => {
      simulation.countPoll(outcome)
      request.log.debug({ event: 'sim.poll', outcome, task_id: id })
    }
    if (!simulation.authorizes(request.headers.authorization)) {
      count('unauthorized')
      return reply.code(401).send(refusal(401, 'invalid api key'))
    }
    const task = simulation.tasks.find(id, Date.now())
    const known = task !== undefined && !(task.behaviour.forgottenOnceTold && task.terminalTold)
    const fault = simulation.armed.take('poll') ?? (task ? faultAt(task.behaviour.pollFaults, task.polls++) : null)
    count(fault !== null ? faultName(fault) : known ? 'answered' : 'not_found')
    const honest = () =>
      known ? pollAnswer(task, videoUrl(request.host, task), Date.now()) : refusal(404, 'task not found')
    await pause(task?.behaviour.pollDelayMs ?? 0)
    const retryAfter = task === undefined ? '1' : task.behaviour.retryAfter
    if (fault !== null && (await misbehave(request, reply, fault, honest, retryAfter))) return reply
    if (fault?.kind === 'form' && known) {
      await sendInForm(request, reply, fault.form, honest())
      return reply
    }
    return reply.code(known ? 200 : 404).send(honest())
  })
}

/**
 * The link uses the host of the poll, so that the polling client can fetch the clip; signed as by an object store when a tag requests a
 * signature.
 */
function videoUrl(host: string, { id, endsAtMs, behaviour }: Task): string {
  const url = `http://${host}/files/${encodeURIComponent(id)}.mp4`
  if (behaviour.signedForS === null || endsAtMs > Date.now()) return url
  const signedAt = new Date(endsAtMs).toISOString().replace(/[-:]|\.\d+/g, '')
  return `${url}?X-Amz-Date=${signedAt}&X-Amz-Expires=${behaviour.signedForS}&X-Amz-Signature=simulated`
}
