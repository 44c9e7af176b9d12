// `npm run demo`: the whole app in one process, on an embedded Postgres, with the simulator as its provider. The demo reads nothing of a
// real installation: neither DATABASE_URL nor REDIS_URL nor any key.

import { join } from 'node:path'
import { type AppContext, openAppContext } from '@reelqueue/shared/app-context'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { prepareDatabase } from '@reelqueue/shared/migrate/prepare-database'
import { type Config, loadConfig } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { createProject, newApiKey } from '@reelqueue/shared/store/projects'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import { buildSimulator } from '@reelqueue/simulator/app'
import { startApi } from './api.ts'
import { newOperatorPassword } from './bootstrap.ts'
import { explainListenError, runCommand, runParts, type Stops } from './command.ts'
import { createClient } from './demo/client.ts'
import { showProgress } from './demo/progress.ts'
import { DEFAULTS, ITEMS } from './demo/prompts.ts'
import { type Receiver, startReceiver } from './demo/receiver.ts'
import { embedUnlessConfigured, makeDataDir } from './embedded.ts'
import { freePortFor, refuseTakenPorts } from './ports.ts'
import { startWorkerIn } from './worker.ts'

/** Renders run this many times faster than the provider's renders. */
const SPEED = 20
const BATCH_TIMEOUT_MS = 150_000
const STOP_BOUND_MS = 30_000

await runCommand(async () => {
  const once = process.argv.includes('--once')
  await runParts(STOP_BOUND_MS, async (stops) => {
    const demo = await startDemo(stops)
    stops.ready()
    const succeeded = await runBatch(demo, stops.stopping)
    if (once) return succeeded ? 0 : 1
    printWhereToGo(demo)
    return null
  })
})

interface Demo {
  readonly url: string
  readonly key: string
  /** Opens the operator pages, with any user name. */
  readonly password: string
  readonly receiver: Receiver
  readonly logFile: string
}

/** Starts the parts one by one, and registers each in `stops`. */
async function startDemo(stops: Stops): Promise<Demo> {
  const { HOST, PORT, SIMULATOR_PORT, DATA_DIR, LOG_LEVEL } = process.env
  const given = loadConfig({ HOST, PORT, SIMULATOR_PORT, LOG_LEVEL, DATA_DIR: join(DATA_DIR || '.reelqueue', 'demo') })
  const ports = await choosePorts(given)
  await makeDataDir(given.DATA_DIR)
  const logFile = join(given.DATA_DIR, 'demo.log')
  const log = createLogger(given.LOG_LEVEL, logFile)

  say(`Starting Postgres in ${given.DATA_DIR} …`)
  const embedded = await embedUnlessConfigured(given, log, stops)
  const databaseUrl = embedded.config.DATABASE_URL ?? ''
  await prepareDatabase(databaseUrl)
  stops.stopping.throwIfAborted()

  say('Starting the simulated provider, the API and a worker …')
  const simulator = buildSimulator({ speed: SPEED })
  stops.push(() => simulator.close())
  const upstreamUrl = await simulator.listen({ host: '127.0.0.1', port: ports.simulator }).catch((error: unknown) => {
    throw explainListenError(error, '127.0.0.1', ports.simulator, 'SIMULATOR_PORT')
  })
  const password = newOperatorPassword()
  const context = openAppContext(
    {
      ...embedded.config,
      PORT: ports.api,
      UPSTREAM_BASE_URL: upstreamUrl,
      UPSTREAM_API_KEY: 'demo',
      OPERATOR_PASSWORD: password,
      POLL_INTERVAL_MIN_MS: 500,
      POLL_INTERVAL_MAX_MS: 1_000,
      WEBHOOK_ALLOWED_NETWORKS: ['127.0.0.0/8', '::1/128'],
    },
    log,
  )
  stops.push(() => context.close())
  const api = await startApi(context)
  stops.push(() => api.close())
  const worker = startWorkerIn(context)
  stops.push(() => worker.close())

  const { key, receiver } = await createDemoProject(context)
  stops.push(() => receiver.close())
  return { url: api.url, key, password, receiver, logFile }
}

/** The usual ports where they are free, otherwise free ports. A port requested by a variable is used, or is an error. */
async function choosePorts({ HOST, PORT, SIMULATOR_PORT }: Config): Promise<{ api: number; simulator: number }> {
  const api = { host: HOST, port: PORT, variable: 'PORT' }
  const simulator = { host: '127.0.0.1', port: SIMULATOR_PORT, variable: 'SIMULATOR_PORT' }
  const wanted = [api, simulator]
  await refuseTakenPorts(wanted.filter(({ variable }) => process.env[variable]))
  const [apiPort = 0, simulatorPort = 0] = await Promise.all(wanted.map(freePortFor))
  for (const { port } of wanted.filter((one, index) => one.port !== [apiPort, simulatorPort][index])) {
    say(`Port ${port} is taken by another program: the demo uses a free one.`)
  }
  return { api: apiPort, simulator: simulatorPort }
}

/** A new project for each run: the webhook secret of an older project cannot be shown again. */
async function createDemoProject({ database, sealer }: AppContext): Promise<{ key: string; receiver: Receiver }> {
  const secret = newWebhookSecret()
  const key = newApiKey()
  await createProject(database, `demo ${new Date().toISOString()}`, (id) => sealer.seal(secret, secretPlace(id)), {
    name: 'demo',
    key,
  })
  return { key, receiver: await startReceiver(secret) }
}

/** Submits the sample batch and shows its progress to the end. @returns whether every video and webhook arrived */
async function runBatch({ url, key, receiver }: Demo, stopping: AbortSignal): Promise<boolean> {
  const client = createClient(url, key)
  const batch = await client.createBatch({ defaults: DEFAULTS, items: ITEMS, webhook_url: receiver.url })
  say(
    `Accepted the batch ${batch.id} of ${batch.total} generations. Renders run ${SPEED} times faster than real ones.\n`,
  )

  await showProgress({
    // The list begins with the newest generation.
    generations: (await client.listBatch(batch.id)).reverse(),
    look: () => client.listBatch(batch.id),
    receipt: async (generation) => {
      const receipt = await receiver.waitFor(`generation.${generation.status}`, generation.id)
      return `${receipt.webhookId} verified`
    },
    timeoutMs: BATCH_TIMEOUT_MS,
    stopping,
  })

  const { counts } = await client.readBatch(batch.id)
  const succeeded = counts.completed === batch.total
  if (succeeded) {
    const { webhookId } = await receiver.waitFor('batch.completed', batch.id)
    say(`\nbatch.completed arrived too: ${webhookId} verified.`)
  }
  say(
    `${counts.completed} of ${batch.total} completed, ${receiver.receipts.length} webhooks verified, ${receiver.refused()} refused.`,
  )
  return succeeded && receiver.receipts.length === batch.total + 1 && receiver.refused() === 0
}

function printWhereToGo({ url, key, password, logFile }: Demo): void {
  say(`
Look around:
  queues   ${url}/admin/queues   (any user name, password ${password})
  docs     ${url}/docs
  log      ${logFile}

Try it yourself:
  curl -s ${url}/v1/generations -H 'Authorization: Bearer ${key}' \\
    -H 'Content-Type: application/json' -d '{"model":"openAiSora2Plus","prompt":"a cat in a spacesuit","seconds":4}'

Ctrl-C stops everything.`)
}

function say(line: string): void {
  console.log(line)
}
