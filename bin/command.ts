// How a command of the house begins and ends: readable errors, one graceful stop, and a second signal that means now.

import { ConfigError } from '@reelqueue/shared/runtime/config'
import { DatabaseError } from '@reelqueue/shared/store/connect'

/** A mistake of the user's or the machine's that a message explains better than a stack. */
export class UserError extends Error {}

/** Runs a command. Its errors end the process with code 1 and a message; bugs keep their stack. */
export async function runCommand(run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    console.error(explain(error))
    process.exit(1)
  }
}

/** Runs a command that comes to an end. It waits for no idle timer: Prisma's schema engine leaves one of ten seconds. */
export async function runToEnd(run: () => Promise<void>): Promise<void> {
  await runCommand(run)
  process.exit(0)
}

function explain(error: unknown): string {
  if (error instanceof UserError || error instanceof ConfigError || error instanceof DatabaseError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** How to stop the parts that were started, in the order in which they were. */
export type Stops = (() => Promise<void>)[]

/**
 * Starts parts and leaves them running until SIGINT or SIGTERM, or, when `start` resolves to an exit code, until then: they
 * are stopped, the last one first. A second signal, or a stop that takes longer than `boundMs`, ends the process at once.
 * What `start` throws is thrown on after everything has been stopped.
 */
export async function runParts(boundMs: number, start: (stops: Stops) => Promise<number | null>): Promise<void> {
  const stops: Stops = []
  let stopping: Promise<void> | undefined
  const stopAll = () => {
    stopping ??= (async () => {
      for (const stop of stops.splice(0).reverse()) await stop()
    })()
    return stopping
  }
  const exitStopped = async (code: number) => {
    setTimeout(() => {
      console.error(`Not finished after ${Math.round(boundMs / 1_000)} s: stopped. The next start goes on from here.`)
      process.exit(1)
    }, boundMs).unref()
    await stopAll()
    process.exit(code)
  }
  const onSignal = (signal: NodeJS.Signals) => {
    if (stopping) {
      console.error('Stopped at once.')
      process.exit(1)
    }
    console.error(`\n${signal}: finishing what is under way (again to stop at once) …`)
    exitStopped(0).catch((error: unknown) => {
      console.error(explain(error))
      process.exit(1)
    })
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  try {
    const code = await start(stops)
    if (code !== null) await exitStopped(code)
  } catch (error) {
    // A start that a signal interrupted fails for lack of what was stopped.
    if (stopping) return await stopping
    await stopAll()
    throw error
  }
}

/** Turns a port that is taken into a message that names the variable to set. */
export function explainListenError(error: unknown, host: string, port: number, variable: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') {
    return new UserError(
      `Port ${port} on ${host} is taken by another program. Stop it, or set ${variable} to another port (0 lets the system choose).`,
    )
  }
  if (code === 'EACCES')
    return new UserError(`Port ${port} may not be used by this user. Set ${variable} to a port above 1023.`)
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return new UserError(`This machine has no address ${host}: correct HOST.`)
  return error
}
