// docs/integrating.md against the API's own OpenAPI document: every route, query, header, status, code and field that the page shows.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { openapiDocument } from '../bin/docs/http-api.ts'

const page = readFileSync(fileURLToPath(new URL('../docs/integrating.md', import.meta.url)), 'utf8')

type Schema = Readonly<Record<string, unknown>>
const schema: z.ZodType<Schema> = z.record(z.string(), z.unknown())
const content = z.record(z.string(), z.object({ schema })).default({})
const openapi = z.object({
  paths: z.record(
    z.string(),
    z.record(
      z.string(),
      z.object({
        parameters: z.array(z.object({ in: z.string(), name: z.string() })).default([]),
        requestBody: z.object({ content }).optional(),
        responses: z.record(z.string(), z.object({ description: z.string(), content })),
      }),
    ),
  ),
  components: z.object({ schemas: z.record(z.string(), schema) }),
})
const { paths, components } = openapi.parse(await openapiDocument())

/** Each request of the page with the reply that follows it. */
const calls = [...page.matchAll(/^```sh\n(curl [^`]*)```\n\n```http\nHTTP\/1\.1 (\d+) [^\n]*\n([\s\S]*?)\n```$/gm)].map(
  ([, command = '', status = '', rest = '']) => {
    const url = /\$URL(\/[^\s"]*)/.exec(command)?.[1] ?? ''
    const [path = '', query = ''] = url.split('?')
    const method = /-X (\w+)/.exec(command)?.[1] ?? (/ (?:-d|--data-binary) /.test(command) ? 'POST' : 'GET')
    const body = rest.slice(rest.indexOf('\n\n') + 1).trim()
    return { name: `${method} ${path} ${status}`, command, method, path, query, status, body }
  },
)

/** What the document says about a call; ids in the path stand for `{id}`. */
function operationOf({ method, path }: { method: string; path: string }) {
  return paths[path.replaceAll(/\/(?:gen|batch|ep|dlv)_[^/]+/g, '/{id}')]?.[method.toLowerCase()]
}

/** Names of the fields that a schema has at any depth; a schema that allows any field has '*'. */
function fieldsOf(part: unknown, seen = new Set<unknown>()): Set<string> {
  const found = new Set<string>()
  if (typeof part !== 'object' || part === null || seen.has(part)) return found
  seen.add(part)
  for (const [key, value] of Object.entries(part)) {
    if (key === '$ref') {
      const target = components.schemas[String(value).split('/').at(-1) ?? '']
      for (const name of fieldsOf(target, seen)) found.add(name)
      continue
    }
    if (key === 'properties') for (const name of Object.keys(value ?? {})) found.add(name)
    for (const name of fieldsOf(value, seen)) found.add(name)
  }
  return found
}

/** Names of the fields of a value at any depth, without those of the caller's own metadata. */
function namesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(namesIn)
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inner]) => [name, ...(name === 'metadata' ? [] : namesIn(inner))])
}

const unknownIn = (text: string, known: Set<string>) =>
  namesIn(JSON.parse(text)).filter((name) => name !== '…' && !known.has(name))

test('every request of the page has its reply, and there are many', () => {
  expect(calls.length).toBe(page.match(/^curl /gm)?.length)
  expect(calls.length).toBeGreaterThan(15)
})

test.for(calls)('$name is a route of the API, with that query and that reply', (call) => {
  const operation = operationOf(call)
  const reply = operation?.responses[call.status]
  expect([call.name, reply === undefined]).toEqual([call.name, false])
  const queries = [...call.query.matchAll(/(?:^|&)(\w+)=/g)].map(([, name = '']) => name)
  const headers = /Idempotency-Key/.test(call.command) ? ['idempotency-key'] : []
  const parameters = operation?.parameters.map(({ name }) => name)
  expect(parameters).toEqual(expect.arrayContaining([...queries, ...headers]))
  const code = /"code": "(\w+)",?\n {2}"detail"/.exec(call.body)?.[1]
  if (Number(call.status) >= 400) expect(reply?.description).toContain(`\`${code}\``)
})

test.for(calls)('$name shows only fields that the API has', (call) => {
  const operation = operationOf(call)
  const documents = call.body.startsWith('{"') ? call.body.split('\n') : [call.body]
  const known = fieldsOf(operation?.responses[call.status]?.content)
  if (known.size > 0) expect(documents.flatMap((text) => unknownIn(text, known))).toEqual([])
  const [, sent] = / -d '([^']*)'/.exec(call.command) ?? []
  if (sent !== undefined) expect(unknownIn(sent, fieldsOf(operation?.requestBody?.content))).toEqual([])
})

test('routes that the page names in its text exist', () => {
  const named = [...page.matchAll(/`(GET|POST|PATCH|DELETE) (\/v1\/[^`?]*)/g)].map(([, method = '', path = '']) => ({
    method,
    path,
  }))
  expect(named.length).toBeGreaterThan(4)
  expect(named.filter((route) => operationOf(route) === undefined)).toEqual([])
})
