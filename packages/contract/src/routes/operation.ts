// Routes for load balancers and operators.

import { z } from 'zod'
import { adoptRequest } from '../wire/adopt-request.ts'
import { gateJson } from '../wire/gate.ts'
import { generationJson } from '../wire/generation.ts'
import { byId } from '../wire/parameters.ts'
import { readiness, readyQuery } from '../wire/readiness.ts'
import { ADOPTION_PROBLEMS } from './generations.ts'
import type { Route } from './route.ts'

export const operationRoutes = {
  getHealth: {
    method: 'GET',
    path: '/healthz',
    caller: 'anyone',
    tag: 'Operation',
    summary: 'Whether the process is alive',
    replies: { 200: z.object({ status: z.literal('ok') }) },
    problems: ['malformed_request'],
  },
  getReadiness: {
    method: 'GET',
    path: '/readyz',
    caller: 'anyone',
    tag: 'Operation',
    summary: 'Whether all parts work, and due rows are being claimed',
    query: readyQuery,
    replies: { 200: readiness, 503: readiness },
    problems: ['validation_failed'],
  },
  getMetrics: {
    method: 'GET',
    path: '/metrics',
    caller: 'operator',
    tag: 'Operation',
    summary: 'Metrics for Prometheus: open work, the gate, and overdue rows',
    replies: {
      200: {
        mediaType: 'text/plain; version=0.0.4; charset=utf-8',
        description: 'Prometheus’ text format.',
        schema: z.string(),
      },
    },
    problems: [],
  },
  getSubmitting: {
    method: 'GET',
    path: '/admin/submitting',
    caller: 'operator',
    tag: 'Operation',
    summary: 'Whether generations are submitted now, and if not, why',
    replies: { 200: gateJson },
    problems: [],
  },
  pauseSubmitting: {
    method: 'POST',
    path: '/admin/submitting/pause',
    caller: 'operator',
    tag: 'Operation',
    summary: 'Pause all submitting; accepting and polling go on',
    replies: { 200: gateJson },
    problems: [],
  },
  resumeSubmitting: {
    method: 'POST',
    path: '/admin/submitting/resume',
    caller: 'operator',
    tag: 'Operation',
    summary: 'Resume submitting, also after a refusal by the provider',
    description: 'For example after the balance was topped up: submitting resumes at once.',
    replies: { 200: gateJson },
    problems: [],
  },
  adoptTaskAsOperator: {
    method: 'POST',
    path: '/admin/generations/{id}/adopt',
    caller: 'operator',
    tag: 'Operation',
    summary: 'Give any failed generation an upstream task that a person found',
    description:
      'As `POST /v1/generations/{id}/adopt`, for a generation of any project and with any outcome of its submissions. If a submission is answered with that task later, the task goes to that submission.',
    params: byId,
    body: adoptRequest,
    replies: { 200: generationJson },
    problems: [...ADOPTION_PROBLEMS, 'too_many_at_once'],
  },
} as const satisfies Record<string, Route>
