// Shared by the routes of webhook endpoints: finding an endpoint, showing an endpoint, and refusing a change.

import { HEADERS_MAX, type HeaderChanges } from '@reelqueue/contract/terms/custom-headers'
import { type FieldError, Problem } from '@reelqueue/contract/terms/problem'
import { toEndpointJson } from '@reelqueue/contract/wire/webhook-endpoint'
import { headerPlace } from '@reelqueue/shared/domain/sealed-places'
import type { Database } from '@reelqueue/shared/store/database'
import { readSealedHeaders } from '@reelqueue/shared/store/deliveries/endpoint-headers'
import {
  type ChangeEndpointResult,
  findEndpoint,
  type WebhookEndpoint,
} from '@reelqueue/shared/store/deliveries/endpoints'
import type { CallingProject } from '@reelqueue/shared/store/projects'
import { signingStill } from '@reelqueue/shared/store/rotation'
import type { Sealer } from '@reelqueue/shared/webhooks/seal'

/** @throws Problem `not_found` */
export async function mustFindEndpoint(
  database: Database,
  project: CallingProject,
  id: string,
): Promise<WebhookEndpoint> {
  const endpoint = await findEndpoint(database, project.id, id)
  if (!endpoint) throw new Problem('not_found')
  return endpoint
}

/** An endpoint as a reply: header names only, because the header values are sealed. */
export function toJson(endpoint: WebhookEndpoint) {
  return toEndpointJson({
    ...endpoint,
    headerNames: Object.keys(readSealedHeaders(endpoint.headers)),
    signingStill: signingStill(endpoint.previousSecrets, new Date()),
  })
}

export function sealedChanges(sealer: Sealer, id: string, headers: HeaderChanges): HeaderChanges {
  return new Map([...headers].map(([name, value]) => [name, value && sealer.seal(value, headerPlace(id, name))]))
}

/** The changed endpoint. @throws Problem with the reason when the change was refused */
export function changedOr(result: ChangeEndpointResult): WebhookEndpoint {
  switch (result.kind) {
    case 'changed':
      return result.endpoint
    case 'taken':
      throw new Problem('endpoint_exists')
    case 'gone':
      throw new Problem('not_found')
    case 'too_many_headers':
      throw refusal({ field: 'headers', rule: 'max_keys', allowed: HEADERS_MAX })
    case 'headers_left_behind': {
      const allowed = 'given again with a URL of another origin, or null: those before are not sent there'
      throw refusal({ field: 'headers', rule: 'headers_left_behind', allowed })
    }
  }
}

const refusal = (error: FieldError) => new Problem('validation_failed', undefined, [error])
