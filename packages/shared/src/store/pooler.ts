// Whether a pooler in transaction mode is between us and Postgres: what a connection sets, locks or listens to would stay with a process
// of the server that others use next.

import type pg from 'pg'

const PID_SAMPLES = 3

/** Whether two connections are served by the same process of the server, one after the other, or either by several. */
export async function shareBackends(one: pg.Client, other: pg.Client): Promise<boolean> {
  const [ofOne, ofOther] = [new Set<number>(), new Set<number>()]
  for (let sample = 0; sample < PID_SAMPLES; sample++) {
    ofOne.add(await readBackendPid(one))
    ofOther.add(await readBackendPid(other))
  }
  return ofOne.size > 1 || ofOther.size > 1 || [...ofOne].some((pid) => ofOther.has(pid))
}

/** Which process of the server answers. */
async function readBackendPid(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  if (rows[0] === undefined) throw new Error('no answer')
  return rows[0].pid
}
