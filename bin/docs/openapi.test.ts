// Every rule of Redocly's linter holds for the OpenAPI document, but for the rules that are named here with a reason.

import { createConfig, lintFromString } from '@redocly/openapi-core'
import { expect, it } from 'vitest'
import { openapiDocument } from './http-api.ts'

const WITHOUT = {
  // A self-hosted installation has no contact of ours.
  'info-contact': 'off',
  // Summaries say it; a description repeats nothing.
  'operation-description': 'off',
  // Tags and methods have an order for readers.
  'tags-alphabetical': 'off',
  'path-http-verbs-order': 'off',
  // Our paths have snake case like our fields, a version, and verbs for actions (`/v1/batches/{id}/cancel`).
  'paths-kebab-case': 'off',
  'path-segment-plural': 'off',
  // Ids, times and texts of replies may be anything.
  'required-string-property-missing-min-length': 'off',
  'scalar-property-missing-example': 'off',
} as const

const OURS = {
  'request-mime-type': {
    severity: 'error',
    allowedValues: [
      'application/json',
      'application/x-ndjson',
      'application/ndjson',
      'application/jsonl',
      'application/x-jsonl',
      'application/jsonlines',
      'application/x-jsonlines',
    ],
  },
  'response-mime-type': {
    severity: 'error',
    allowedValues: [
      'application/json',
      'application/problem+json',
      'application/x-ndjson',
      'text/plain; version=0.0.4; charset=utf-8',
    ],
  },
  // tests/api-documents.test.ts checks the headers of our replies; a receiver of webhooks answers without them.
  'response-contains-header': 'off',
} as const

async function lint(document: unknown): Promise<string[]> {
  const config = await createConfig({ extends: ['all'], rules: { ...WITHOUT, ...OURS } })
  const findings = await lintFromString({ source: JSON.stringify(document), absoluteRef: 'openapi.json', config })
  return findings.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer ?? ''}`)
}

it('the OpenAPI document has no finding of the linter', async () => {
  expect(await lint(await openapiDocument())).toEqual([])
})

it('a document with an example that its schema refuses has a finding', async () => {
  const document = structuredClone(await openapiDocument()) as {
    components: { schemas: { GenerationRequest: { examples: object[] } } }
  }
  document.components.schemas.GenerationRequest.examples = [{ model: 'unknown', prompt: 'A fox' }]
  expect((await lint(document)).map((finding) => finding.split(':')[0])).toContain('no-invalid-schema-examples')
})
