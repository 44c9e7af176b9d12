// The control endpoint of the simulator under /control, absent from the real upstream. The endpoint requires no key, so the simulator
// belongs on a loopback or private address.
import type { FastifyInstance, FastifyReply } from 'fastify'
import { z } from 'zod'
import { refusal } from '../answers.ts'
import { readFault } from '../faults.ts'
import type { Simulation } from '../simulation.ts'
import { phaseAt } from '../tasks.ts'

/** The fastest `speed`: every render is done by its first poll. */
const SPEED_MAX = 1_000_000_000

export const speedSchema = z.number().positive().max(SPEED_MAX)

const speedBody = z.strictObject({ speed: speedSchema })
const faultBody = z.strictObject({
  on: z.enum(['create', 'poll']),
  /** As in a tag: `429`, `reset`, `reject=1001,message`, `refuse=403,message`, `page=404`, `cdn=521`, `slow=500`. */
  fault: z.string(),
  /** How many requests; absent or null: until cleared. */
  times: z.int().positive().nullish(),
})
const endBody = z.discriminatedUnion('status', [
  z.strictObject({ status: z.literal('completed') }),
  z.strictObject({ status: z.literal('failed'), error: z.string().default('simulated failure') }),
])

export function registerControl(app: FastifyInstance, simulation: Simulation): void {
  app.get('/control/stats', () => simulation.stats(Date.now()))

  app.get('/control/submissions', () => ({
    ...simulation.submissions.counts(),
    submissions: simulation.submissions.list(),
  }))

  app.delete('/control/submissions', (_request, reply) => {
    simulation.clearRequests()
    return reply.code(204).send()
  })

  app.post('/control/speed', (request, reply) => {
    const body = speedBody.safeParse(request.body)
    if (!body.success) return badRequest(reply, body.error)
    simulation.tasks.setSpeed(body.data.speed, Date.now())
    return reply.send({ speed: simulation.tasks.speed })
  })

  app.post('/control/faults', (request, reply) => {
    const body = faultBody.safeParse(request.body)
    if (!body.success) return badRequest(reply, body.error)
    const { on, fault: text, times } = body.data
    const [name = '', ...rest] = text.split('=')
    const planned = readFault(name, rest.length === 0 ? null : rest.join('='))
    if (planned === null) return reply.code(400).send(refusal(400, `unknown or malformed fault ${text}`))
    simulation.armed.arm(on, text, planned.fault, times ?? planned.times)
    return reply.send({ armed_faults: simulation.armed.list() })
  })

  app.delete('/control/faults', (_request, reply) => {
    simulation.armed.clear()
    return reply.code(204).send()
  })

  app.post<{ Params: { id: string } }>('/control/tasks/:id', (request, reply) => {
    const body = endBody.safeParse(request.body)
    if (!body.success) return badRequest(reply, body.error)
    const now = Date.now()
    const task = simulation.tasks.find(request.params.id, now)
    if (task === undefined) return reply.code(404).send(refusal(404, 'task not found'))
    simulation.tasks.end(task, body.data.status === 'failed' ? body.data.error : null, now)
    return reply.send({ id: task.id, status: phaseAt(task, now) })
  })
}

function badRequest(reply: FastifyReply, error: z.ZodError): FastifyReply {
  return reply.code(400).send(refusal(400, z.prettifyError(error)))
}
