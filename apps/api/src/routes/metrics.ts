// GET /metrics for Prometheus: open, held and overdue work. Read from Postgres at each scrape, so every process reports
// the same; only open work is counted, so the cost of a scrape does not grow with the history.

import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { readGate } from '@reelqueue/shared/store/admission/submitting-gate'
import { countSlowRenders } from '@reelqueue/shared/store/lifecycle/render-stats'
import { readAnswerCounts } from '@reelqueue/shared/store/operator/answer-counts'
import { overdueWork } from '@reelqueue/shared/store/operator/health'
import { countOpenWork } from '@reelqueue/shared/store/operator/metrics'
import { countUnstorable } from '@reelqueue/shared/store/unstorable'
import { Counter, Gauge, Registry } from 'prom-client'
import type { ApiDeps } from '../deps.ts'
import { shareLooks } from '../share-looks.ts'
import type { Serve } from '../typed-app.ts'
import { overdueToleranceMs } from './health.ts'

export function metricsRoute(serve: Serve<'operator'>, deps: ApiDeps): void {
  const look = shareLooks(() => scrape(deps))
  serve('getMetrics', async (_request, reply) => reply.type(Registry.PROMETHEUS_CONTENT_TYPE).send(await look()))
}

/** The metrics text. */
async function scrape({ database, settings }: ApiDeps): Promise<string> {
  const [open, gate, overdue, slow, answers, unstorable] = await Promise.all([
    countOpenWork(database),
    readGate(database, CONFIGURED.name),
    overdueWork(database, overdueToleranceMs(settings)),
    countSlowRenders(database),
    readAnswerCounts(database),
    countUnstorable(database),
  ])
  const registry = new Registry()
  const gauge = (name: string, help: string) => new Gauge({ name: `reelqueue_${name}`, help, registers: [registry] })
  const labelled = (name: string, help: string, label: string, values: Readonly<Record<string, number>>) => {
    const one = new Gauge({ name: `reelqueue_${name}`, help, labelNames: [label], registers: [registry] })
    for (const [value, count] of Object.entries(values)) one.set({ [label]: value }, count)
  }
  const counter = new Counter({
    name: 'reelqueue_upstream_answers_total',
    help: 'Answers of the provider to creates and polls, by class.',
    labelNames: ['upstream', 'call', 'class'],
    registers: [registry],
  })
  for (const { count, ...labels } of answers) counter.inc({ ...labels }, count)
  const { waiting, queued, submitting, processing, lateSlots, deliveries, openBatches } = open
  gauge('generations_waiting', 'Queued generations without a slot.').set(waiting)
  labelled('generations_in_flight', 'Generations that hold a slot, by status.', 'status', {
    queued,
    submitting,
    processing,
  })
  gauge('generations_slow', 'Generations that render for longer than the p99 of their render profile.').set(slow)
  const { unknown, cancelled, overdue: late, retried } = lateSlots
  labelled(
    'slots_late',
    'Slots kept for renders that may continue after their generation ended or was retried, by cause.',
    'cause',
    { unknown, cancelled, overdue: late, retried },
  )
  gauge('slots_max', 'Slots over all workers (UPSTREAM_MAX_IN_FLIGHT).').set(settings.slots)
  gauge('batches_open', 'Batches that have not ended.').set(openBatches)
  gauge('deliveries_pending', 'Pending webhook deliveries.').set(deliveries)
  gauge('overdue_rows', 'Due rows that no step has claimed, up to 1,000.').set(overdue.count)
  gauge('unstorable_rows', 'Rows that Postgres refuses to write, up to 1,000; each is tried again.').set(
    unstorable.count,
  )
  gauge('submitting_open', '1 while generations are submitted; 0 while submitting is held.').set(
    gate.isOpen && settings.hasUpstreamKey ? 1 : 0,
  )
  labelled('submitting_held', '1 for each cause that holds submitting.', 'cause', {
    paused: Number(gate.pausedAt !== null),
    account: Number(gate.refusalClass === 'account'),
    configuration: Number(gate.refusalClass === 'configuration'),
    same_refusals: Number(gate.refusalClass === 'request'),
    unreachable: Number(gate.unreachableSince !== null),
    asked_to_wait: Number(gate.holdUntil !== null),
    no_key: Number(!settings.hasUpstreamKey),
  })
  return await registry.metrics()
}
