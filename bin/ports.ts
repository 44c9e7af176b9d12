// Checks ports before the servers start, so that one error names all taken ports.

import { once } from 'node:events'
import { createServer } from 'node:net'
import { explainListenError, UserError } from './command.ts'

interface WantedPort {
  readonly host: string
  readonly port: number
  /** The setting that names the port. */
  readonly variable: string
}

/** @throws UserError with one line for each port that cannot be listened on */
export async function refuseTakenPorts(wanted: readonly WantedPort[]): Promise<void> {
  const lines: string[] = []
  for (const { host, port, variable } of wanted) {
    try {
      await tryPort(host, port)
    } catch (error) {
      const explained = explainListenError(error, host, port, variable)
      if (!(explained instanceof UserError)) throw error
      lines.push(explained.message)
    }
  }
  if (lines.length > 0) throw new UserError(lines.join('\n'))
}

/** @returns `port`, or 0 (the system chooses) when another program uses `port` */
export async function freePortFor({ host, port }: Omit<WantedPort, 'variable'>): Promise<number> {
  return await tryPort(host, port).then(
    () => port,
    () => 0,
  )
}

async function tryPort(host: string, port: number): Promise<void> {
  const probe = createServer().listen(port, host)
  await once(probe, 'listening')
  probe.close()
  await once(probe, 'close')
}
