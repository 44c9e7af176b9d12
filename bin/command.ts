// How a command begins and ends: readable errors, one graceful stop whenever a signal comes, and an immediate stop at the second signal.
// run.mjs handles signals until the command's own handlers exist.

import { constants } from 'node:os'
import { ConfigError } from '@reelqueue/shared/runtime/config'
import { DatabaseError } from '@reelqueue/shared/store/connect'

/** An error of the user or the machine, better explained by a message than by a stack. */
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

/** A command that ends by itself starts few parts, and each part stops quickly. */
const END_BOUND_MS = 45_000

/** Runs a command that ends by itself. Idle timers do not delay the end: Prisma's schema engine leaves a timer of ten seconds. */
export async function runToEnd(run: (stops: Stops) => Promise<void>): Promise<void> {
  await runCommand(() =>
    runParts(END_BOUND_MS, async (stops) => {
      await run(stops)
      return 0
    }),
  )
}

function explain(error: unknown): string {
  if (error instanceof UserError || error instanceof ConfigError || error instanceof DatabaseError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** The stop functions of the started parts, in the order of the starts. */
export interface Stops {
  /**
   * Registers the stop function of a started part.
   * @throws an error when the command is already stopping: the part is stopped immediately, and no further part may start.
   */
  push(stop: () => Promise<void>): void
  /** Aborted as soon as the command begins to stop. */
  readonly stopping: AbortSignal
  /** From now on a signal is the ordinary end of the command: exit code 0. Implied when `start` resolves. */
  ready(): void
}

/** With npm between the terminal and our process, a single Ctrl-C arrives twice: npm forwards the signal too. People press more slowly. */
const SAME_SIGNAL_MS = 150

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Starts parts and leaves them running until SIGINT, SIGTERM or SIGHUP, or until `start` resolves to an exit code; then stops the parts,
 * the last part first. The exit code is 0, or the code of the signal (130, 143, 129) when the signal came before everything ran. A second
 * signal, or a stop longer than `boundMs`, ends the process immediately with code 1. Errors of `start` are rethrown after every part has
 * been stopped.
 */
export async function runParts(boundMs: number, start: (stops: Stops) => Promise<number | null>): Promise<void> {
  const begun: (() => Promise<void>)[] = []
  const stopping = new AbortController()
  let ready = false
  let stopped: Promise<void> | undefined
  const stopAll = () => {
    stopped ??= (async () => {
      stopping.abort(new UserError('Stopped.'))
      for (let stop = begun.pop(); stop; stop = begun.pop()) await stop()
    })()
    return stopped
  }
  const exitStopped = async (code: number) => {
    setTimeout(() => {
      console.error(`Not finished after ${Math.round(boundMs / 1_000)} s: stopped. The next start goes on from here.`)
      process.exit(1)
    }, boundMs)
    await stopAll()
    process.exit(code)
  }
  let toldAt = Number.NEGATIVE_INFINITY
  const onSignal = (signal: NodeJS.Signals) => {
    if (performance.now() - toldAt < SAME_SIGNAL_MS) return
    toldAt = performance.now()
    if (stopping.signal.aborted) {
      console.error('Stopped at once.')
      process.exit(1)
    }
    console.error(`\n${signal}: finishing what is under way (again to stop at once) …`)
    exitStopped(ready ? 0 : 128 + constants.signals[signal]).catch((error: unknown) => {
      console.error(explain(error))
      process.exit(1)
    })
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
  const stops: Stops = {
    push(stop) {
      begun.push(stop)
      if (!stopping.signal.aborted) return
      // The loop that stops parts may have ended before this part began: the process must not exit before the part has stopped.
      stopped = Promise.all([stopped, begun.pop()?.()]).then(() => undefined)
      stopping.signal.throwIfAborted()
    },
    stopping: stopping.signal,
    ready() {
      ready = true
    },
  }
  try {
    const code = await start(stops)
    stops.ready()
    if (code !== null && !stopping.signal.aborted) await exitStopped(code)
  } catch (error) {
    // A start interrupted by a signal fails because its parts were stopped; the signal handler ends the process.
    if (stopping.signal.aborted) return await new Promise(() => undefined)
    await stopAll()
    throw error
  }
}

/** Turns a taken port into a message with the variable to change. */
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
