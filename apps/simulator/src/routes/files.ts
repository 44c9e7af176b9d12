// GET /files/{id}.mp4: the clip of a completed task, without authorization, until the link expires.
import type { FastifyInstance } from 'fastify'
import { refusal } from '../answers.ts'
import { clipOf, readRange } from '../clips.ts'
import type { Simulation } from '../simulation.ts'
import { phaseAt } from '../tasks.ts'

export function registerFiles(app: FastifyInstance, simulation: Simulation): void {
  app.get<{ Params: { name: string } }>('/files/:name', (request, reply) => {
    const { name } = request.params
    const now = Date.now()
    const task = name.endsWith('.mp4') ? simulation.tasks.find(name.slice(0, -4), now) : undefined
    const clip = task && phaseAt(task, now) === 'completed' ? simulation.clips.get(clipOf(task)) : undefined
    if (clip === undefined) return reply.code(404).send(refusal(404, 'file not found or expired'))

    reply.header('accept-ranges', 'bytes')
    const range = readRange(request.headers.range, clip.length)
    if (range === 'unsatisfiable') {
      return reply
        .code(416)
        .header('content-range', `bytes */${clip.length}`)
        .send(refusal(416, 'range not satisfiable'))
    }
    reply.type('video/mp4')
    if (range === null) return reply.send(clip)
    reply.code(206).header('content-range', `bytes ${range.start}-${range.end}/${clip.length}`)
    return reply.send(clip.subarray(range.start, range.end + 1))
  })
}
