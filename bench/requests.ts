// Requests sent concurrently as by many clients, and their timing.

import { type Dispatcher, Pool } from 'undici'

/** Connections held at once, each with one request in flight. */
const CONNECTIONS = 50

export interface Timing {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Sends `count` requests and waits for all answers. @throws Error for the first answer that is not `status` */
export async function sendMany(
  url: string,
  count: number,
  path: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  body?: (index: number) => unknown,
  connections = CONNECTIONS,
): Promise<Timing> {
  const pool = new Pool(url, { connections })
  const allHeaders = { 'content-type': 'application/json', ...headers }
  const latencies: number[] = []
  let next = 0
  async function client(): Promise<void> {
    while (next < count) {
      const index = next++
      const startedAt = performance.now()
      const answer = await exchange(pool, {
        path,
        method: body ? 'POST' : 'GET',
        headers: allHeaders,
        body: body ? JSON.stringify(body(index)) : null,
      })
      if (answer.status !== status) throw new Error(`${path} answered ${answer.status}: ${answer.text.slice(0, 500)}`)
      latencies.push(performance.now() - startedAt)
    }
  }
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: connections }, client))
  const perSecond = (count * 1_000) / (performance.now() - startedAt)
  await pool.close()
  return { perSecond, p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99) }
}

/** Sends a request, without the stream that `pool.request` makes of an answer: both contestants need the processor time saved here. */
function exchange(pool: Pool, request: Dispatcher.DispatchOptions): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let status = 0
    pool.dispatch(request, {
      // Without this method, undici takes the handler for a handler of its former interface.
      onRequestStart: () => undefined,
      onResponseStart(_controller, statusCode) {
        status = statusCode
      },
      onResponseData(_controller, chunk) {
        chunks.push(chunk)
      },
      onResponseEnd() {
        resolve({ status, text: Buffer.concat(chunks).toString() })
      },
      onResponseError(_controller, error) {
        reject(error)
      },
    })
  })
}

export function quantile(values: readonly number[], share: number): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length * share)] ?? Number.NaN
}

export const median = (values: readonly number[]) => quantile(values, 0.5)

export const mean = (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0) / values.length
