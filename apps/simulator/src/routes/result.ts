// GET /v1/result/{id}. A poll that is answered by a fault still counts as a poll of the task, and never changes it.
import type { FastifyInstance } from 'fastify'
import { pollAnswer, refusal } from '../answers.ts'
import { faultAt, faultName } from '../faults.ts'
import { misbehave, pause } from '../misbehave.ts'
import type { Simulation } from '../simulation.ts'

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
      known ? pollAnswer(task, videoUrl(request.host, task.id), Date.now()) : refusal(404, 'task not found')
    await pause(task?.behaviour.pollDelayMs ?? 0)
    const retryAfter = task === undefined ? '1' : task.behaviour.retryAfter
    if (fault !== null && (await misbehave(request, reply, fault, honest, retryAfter))) return reply
    return reply.code(known ? 200 : 404).send(honest())
  })
}

/** On the address the client itself used, so that whoever polled can fetch it. */
function videoUrl(host: string, taskId: string): string {
  return `http://${host}/files/${encodeURIComponent(taskId)}.mp4`
}
