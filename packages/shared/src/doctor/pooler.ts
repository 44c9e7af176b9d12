// Detects a pooler in transaction mode before Postgres: settings, locks and listeners of a connection would stay with a
// server process that other clients use next.

import type pg from 'pg'

const PID_SAMPLES = 3

/**
 * Whether the same server process serves two connections, one after the other, or several processes serve one
 * connection.
 */
export async function shareBackends(one: pg.Client, other: pg.Client): Promise<boolean> {
  const [ofOne, ofOther] = [new Set<number>(), new Set<number>()]
  for (let sample = 0; sample < PID_SAMPLES; sample++) {
    ofOne.add(await readBackendPid(one))
    ofOther.add(await readBackendPid(other))
  }
  return ofOne.size > 1 || ofOther.size > 1 || [...ofOne].some((pid) => ofOther.has(pid))
}

/** The id of the server process that answers. */
async function readBackendPid(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  if (rows[0] === undefined) throw new Error('no answer')
  return rows[0].pid
}
