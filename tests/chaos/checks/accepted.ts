// Requests answered with 202 are kept, and come to their end.

import { type Evidence, groupBy } from '../evidence.ts'

const ENDED = ['completed', 'failed', 'cancelled']

/** Lost: accepted, but absent. */
export function acceptedIsARow({ accepted, generations, batches }: Evidence): string[] {
  const ids = new Set([...generations, ...batches].map((row) => row.id))
  return accepted.filter((one) => !ids.has(one.id)).map((one) => `${one.id} was answered 202 and is no row`)
}

/** Lost: accepted, but never ended. */
export function everythingHasEnded({ generations, unfinished }: Evidence): string[] {
  const open = generations.filter((row) => !ENDED.includes(row.status))
  return [
    ...open.map((row) => `${row.id} is still ${row.status} (${row.waits}): ${row.prompt}`),
    ...(unfinished === '' ? [] : [`not finished in time: ${unfinished}`]),
  ]
}

export function oneRowForEachKey({ accepted, generations, batches }: Evidence): string[] {
  const rows = groupBy<{ id: string; key: string | null }>([...generations, ...batches], (row) => row.key)
  return accepted.flatMap(({ id, key }) => {
    const ids = (rows.get(key) ?? []).map((row) => row.id)
    return ids.length === 1 && ids[0] === id
      ? []
      : [`${key} was answered ${id} and made ${ids.join(', ') || 'nothing'}`]
  })
}

export function clientsAreAnsweredRightly({ wrongAnswers }: Evidence): string[] {
  return [...wrongAnswers]
}

/** Each batch has exactly its total of generations, and its end event counts all of them. */
export function batchesAddUp({ generations, batches, events }: Evidence): string[] {
  const items = groupBy(generations, (row) => row.batchId)
  const ends = groupBy(events, (event) => event.batchId)
  return batches.flatMap(({ id, total }) => {
    const count = items.get(id)?.length ?? 0
    const counted = Object.values(ends.get(id)?.[0]?.data.counts ?? {}).reduce((sum, one) => sum + one, 0)
    return [
      ...(count === total ? [] : [`${id} has ${count} generations of ${total}`]),
      ...(counted === total ? [] : [`${id} has told of ${counted} ends of ${total}`]),
    ]
  })
}
