// Builds the simulator: a stand-in for the upstream over real HTTP, with faults on demand. The simulator deliberately shares no code with
// the adapter on the other side: otherwise both sides could be wrong together.
import { randomInt } from 'node:crypto'
import { type FastifyError, type FastifyInstance, fastify, LogController } from 'fastify'
import { refusal } from './answers.ts'
import { loadClips } from './clips.ts'
import { seededRandom } from './random.ts'
import { registerControl, speedSchema } from './routes/control.ts'
import { registerCreate } from './routes/create.ts'
import { registerFiles } from './routes/files.ts'
import { registerResult } from './routes/result.ts'
import { Simulation } from './simulation.ts'

/** The path of the real upstream's routes; the simulator serves the routes below this path and at the root. */
const UPSTREAM_PATH = '/kyyReactApiServer'

export interface SimulatorOptions {
  /** Renders run this many times faster than in the real world; more than 0, up to 1e9. Default 1. */
  speed?: number
  /** Makes the sequence of render times repeatable. Default: random. */
  seed?: number
  /** The only accepted key; null, the default, accepts any non-empty bearer token. */
  apiKey?: string | null
  /** A pino level. Default `silent`. No level logs prompts or keys. */
  logLevel?: string
}

/**
 * A simulator that is not listening yet; call `listen`, and finally `close` (which also cuts the connections left hanging by faults).
 * Throws on a speed out of bounds.
 */
export function buildSimulator(options: SimulatorOptions = {}): FastifyInstance {
  const { seed = randomInt(2 ** 32), apiKey = null, logLevel = 'silent' } = options
  const speed = speedSchema.parse(options.speed ?? 1)
  const simulation = new Simulation({ random: seededRandom(seed), speed, apiKey, clips: loadClips() })

  const app = fastify({
    logger: logLevel === 'silent' ? false : { level: logLevel },
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 1000 },
  })
  app.removeContentTypeParser('text/plain')
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) request.log.error({ event: 'sim.error', err: error })
    return reply.code(status).send(refusal(status, error.message))
  })
  app.setNotFoundHandler((_request, reply) => reply.code(404).send(refusal(404, 'no such route')))

  registerUpstream(app, simulation)
  app.register(async (nested) => registerUpstream(nested, simulation), { prefix: UPSTREAM_PATH })
  registerFiles(app, simulation)
  registerControl(app, simulation)
  return app
}

function registerUpstream(app: FastifyInstance, simulation: Simulation): void {
  registerCreate(app, simulation)
  registerResult(app, simulation)
}
