// How a command of the house begins and ends: readable errors, one graceful stop, and a second signal that means now.

import { ConfigError } from '@reelqueue/shared/runtime/config'
import { MigrationError } from '@reelqueue/shared/store/migrate'

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

function explain(error: unknown): string {
  if (error instanceof UserError || error instanceof ConfigError || error instanceof MigrationError)
    return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/**
 * Stops on SIGINT or SIGTERM: `stop` first, and then exit with 0. A second signal, or `boundMs`, ends the process at once.
 */
export function stopOnSignal(stop: () => Promise<void>, boundMs: number, say: (line: string) => void): void {
  let stopping = false
  const onSignal = (signal: NodeJS.Signals) => {
    if (stopping) {
      say('Stopped at once.')
      process.exit(1)
    }
    stopping = true
    say(`${signal}: finishing what is under way (again to stop at once) …`)
    setTimeout(() => {
      say(
        `Not finished after ${Math.round(boundMs / 1_000)} s: stopped. Whatever was under way is found again at the next start.`,
      )
      process.exit(1)
    }, boundMs).unref()
    stop().then(
      () => process.exit(0),
      (error) => {
        console.error(explain(error))
        process.exit(1)
      },
    )
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
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
