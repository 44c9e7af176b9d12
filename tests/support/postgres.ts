// The Postgres of a test run, with a migrated template database that every test file clones. DATABASE_URL has precedence; then a container
// (TEST_POSTGRES=testcontainers, or an answering Docker engine); then the embedded Postgres in a fresh folder (TEST_POSTGRES=embedded:14
// selects a version, TEST_POSTGRES=/folder selects binaries). Only databases created here are dropped: a given server may hold other
// databases.
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '@reelqueue/shared/embedded/embedded-postgres'
import type { PostgresBinaries } from '@reelqueue/shared/embedded/postgres-binaries'
import { prepareDatabase } from '@reelqueue/shared/migrate/prepare-database'
import type { TestProject } from 'vitest/node'
import { bundleCommands } from '../../bin/bundle.ts'
import { runSql, withDatabaseName } from './database.ts'
import { otherPostgres } from './other-postgres.ts'

const CONTAINER_IMAGE = 'postgres:17-alpine'
const DOCKER_ANSWER_TIMEOUT_MS = 500
/** No test crashes this server (crash tests start their own server), so a commit need not wait for the disk. */
const HASTY = 'synchronous_commit=off'

/** Vitest's globalSetup; the returned function is the teardown. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Vitest ends in order only after SIGINT and SIGTERM. A closed terminal sends SIGHUP, and the server would keep running.
  process.once('SIGHUP', () => process.exit(128 + constants.signals.SIGHUP))
  // Tests start commands as an installation does: from bundles.
  await bundleCommands()
  const server = await startServer()
  const template = `reelqueue_template_${randomBytes(5).toString('hex')}`
  const dropTemplate = () => runSql(server.url, `DROP DATABASE IF EXISTS ${template} WITH (FORCE)`)
  try {
    await runSql(server.url, `CREATE DATABASE ${template} TEMPLATE template0 ENCODING 'UTF8'`)
    await prepareDatabase(withDatabaseName(server.url, template))
  } catch (error) {
    await dropTemplate()
    await server.stop()
    throw error
  }
  project.provide('postgresUrl', server.url)
  project.provide('templateDatabase', template)
  return async () => {
    await dropTemplate()
    await server.stop()
  }
}

interface Server {
  /** Connects as a user with permission to create databases. */
  readonly url: string
  stop(): Promise<void>
}

async function startServer(): Promise<Server> {
  const { DATABASE_URL, DOCKER_HOST, TEST_POSTGRES } = process.env
  if (DATABASE_URL) return { url: DATABASE_URL, stop: async () => undefined }
  if (TEST_POSTGRES === 'testcontainers') return startContainer()
  if (TEST_POSTGRES === undefined && (await dockerAnswers(DOCKER_HOST))) {
    try {
      return await startContainer()
    } catch (error) {
      // A Docker engine without the image, and without access to a registry.
      console.warn(`No Postgres in a container, so an embedded one: ${error}`)
    }
  }
  return startEmbedded(await otherPostgres(TEST_POSTGRES))
}

async function startContainer(): Promise<Server> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const container = await new GenericContainer(CONTAINER_IMAGE)
    .withEnvironment({ POSTGRES_PASSWORD: 'test' })
    .withCommand(['postgres', '-c', 'max_connections=200', '-c', HASTY])
    .withExposedPorts(5432)
    // The image starts the server twice: the first server only prepares the database.
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
    .start()
  return {
    url: `postgresql://postgres:test@${container.getHost()}:${container.getMappedPort(5432)}/postgres`,
    stop: async () => {
      await container.stop()
    },
  }
}

async function startEmbedded(binaries: PostgresBinaries | undefined): Promise<Server> {
  const dataDir = await mkdtemp(join(tmpdir(), 'reelqueue-test-'))
  await chmod(dataDir, 0o755)
  const { url, stop } = await startEmbeddedPostgres({ dataDir, log: () => undefined, ...(binaries && { binaries }) })
  await runSql(url, `ALTER SYSTEM SET ${HASTY}`)
  await runSql(url, 'SELECT pg_reload_conf()')
  return {
    url,
    stop: async () => {
      await stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** A set DOCKER_HOST is trusted; the default socket is asked, because the socket outlives a stopped engine. */
async function dockerAnswers(dockerHost: string | undefined): Promise<boolean> {
  if (dockerHost) return true
  return new Promise((resolve) => {
    const ping = request({ socketPath: '/var/run/docker.sock', path: '/_ping', timeout: DOCKER_ANSWER_TIMEOUT_MS })
    ping.on('response', (reply) => {
      reply.resume()
      resolve(reply.statusCode === 200)
    })
    ping.on('timeout', () => ping.destroy(new Error('no answer')))
    ping.on('error', () => resolve(false))
    ping.end()
  })
}
