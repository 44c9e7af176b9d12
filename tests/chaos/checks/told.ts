// Each move has its event, exactly once, and every requested webhook of an end was delivered.

import { BATCH_COMPLETED } from '@reelqueue/contract/terms/event-types'
import { MOVES, TERMINAL_STATUSES } from '@reelqueue/contract/terms/status'
import { type EventRow, type Evidence, groupBy } from '../evidence.ts'

const STEPS = new Set(Object.values(MOVES).flatMap(({ from, to }) => from.map((status) => `${status} → ${to}`)))
const ENDS: readonly string[] = TERMINAL_STATUSES.map((status) => `generation.${status}`)

export function eventsAreNumberedWithoutGaps({ generations, events }: Evidence): string[] {
  const told = groupBy(events, (event) => event.generationId)
  return generations.flatMap(({ id, eventSeq }) => {
    const numbers = (told.get(id) ?? []).map((event) => event.sequence)
    const isWhole = numbers.length === eventSeq && numbers.every((number, index) => number === index + 1)
    return isWhole ? [] : [`${id} has made ${eventSeq} events and has ${numbers.join(', ') || 'none'}`]
  })
}

export function everyMoveIsLegal({ generations, events }: Evidence): string[] {
  const told = groupBy(events, (event) => event.generationId)
  return generations.flatMap(({ id, status }) => {
    const statuses = (told.get(id) ?? []).map((event) => event.type.replace('generation.', ''))
    const steps = statuses.slice(1).map((to, index) => `${statuses[index]} → ${to}`)
    return [
      ...steps.filter((step) => !STEPS.has(step)).map((step) => `${id} went ${step}`),
      ...(statuses[0] === 'queued' ? [] : [`${id} began as ${statuses[0]}`]),
      ...(statuses.at(-1) === status ? [] : [`${id} is ${status}, and its last event says ${statuses.at(-1)}`]),
    ]
  })
}

export function batchesCompleteOnceAfterTheirItems({ generations, batches, events }: Evidence): string[] {
  const items = groupBy(generations, (row) => row.batchId)
  const ends = groupBy(events, (event) => event.batchId)
  const firstEnd = new Map<string, EventRow>()
  for (const event of events) {
    const { generationId } = event
    if (generationId !== null && ENDS.includes(event.type) && !firstEnd.has(generationId))
      firstEnd.set(generationId, event)
  }
  return batches.flatMap(({ id }) => {
    const [end, ...more] = (ends.get(id) ?? []).filter((event) => event.type === BATCH_COMPLETED)
    if (!end || more.length > 0) return [`${id} has told of its end ${end ? more.length + 1 : 0} times`]
    return (items.get(id) ?? [])
      .filter((item) => !(firstEnd.get(item.id)?.createdAt.getTime() ?? 0) || isAfter(firstEnd.get(item.id), end))
      .map((item) => `${id} has told of its end before ${item.id} had ended`)
  })
}

function isAfter(event: EventRow | undefined, other: EventRow): boolean {
  return event !== undefined && event.createdAt > other.createdAt
}

export function everyEndIsDelivered({ generations, batches, events, deliveries, receipts }: Evidence): string[] {
  const wanted = new Set([...generations, ...batches].flatMap((row) => (row.webhookUrl === null ? [] : [row.id])))
  const confirmed = new Set(receipts.flatMap((receipt) => (receipt.confirmed ? [receipt.webhookId] : [])))
  const pending = events.filter(
    (event) =>
      (ENDS.includes(event.type) || event.type === BATCH_COMPLETED) &&
      wanted.has(event.generationId ?? event.batchId ?? ''),
  )
  return [
    ...pending.filter((event) => !confirmed.has(event.id)).map((event) => `${event.id} (${event.type}) never arrived`),
    ...deliveries
      .filter((one) => one.state !== 'succeeded')
      .map((one) => `the delivery of ${one.eventId} is ${one.state}`),
  ]
}

export function webhooksAreGenuineAndAlwaysTheSame({ events, receipts, unverified }: Evidence): string[] {
  const known = new Set(events.map((event) => event.id))
  return [
    ...unverified,
    ...[...groupBy(receipts, (receipt) => receipt.webhookId)].flatMap(([id, all]) => {
      const bodies = new Set(all.map((receipt) => receipt.body)).size
      return [
        ...(bodies === 1 ? [] : [`${id} came with ${bodies} different bodies`]),
        ...(known.has(id) ? [] : [`${id} was sent and is no event`]),
      ]
    }),
  ]
}
