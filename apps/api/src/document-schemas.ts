// The named schemas of the OpenAPI document. Zod names each twice, as what a request may contain and as what a reply contains; the
// document keeps the forms it uses, under names that a generated client can show.

/** A part of a document: whatever JSON has. */
type Json = null | boolean | number | string | Json[] | { [name: string]: Json }
type Schemas = Record<string, Json>

const PREFIX = '#/components/schemas/'
const INPUT = 'Input'

/** Names of the schemas that `part` refers to, added to `found` with all that they refer to themselves. */
function collect(part: Json | undefined, schemas: Schemas, found: Set<string>): void {
  if (typeof part !== 'object' || part === null) return
  for (const [key, value] of Object.entries(part)) {
    const name = key === '$ref' && typeof value === 'string' ? value.slice(PREFIX.length) : undefined
    if (name === undefined) collect(value, schemas, found)
    else if (!found.has(name)) {
      found.add(name)
      collect(schemas[name], schemas, found)
    }
  }
}

/** `GenerationRequestInput` is called `GenerationRequest` while no reply has a `GenerationRequest`. */
function shorten(name: string, used: ReadonlySet<string>): string {
  const short = name.endsWith(INPUT) ? name.slice(0, -INPUT.length) : name
  return used.has(short) ? name : short
}

/** What zod adds for machines and `format` says already, or JavaScript's own limits: noise for readers of the document. */
function isNoise(owner: { [name: string]: Json }, key: string, value: Json): boolean {
  if (key === 'pattern') return owner.format === 'date-time'
  return (key === 'minimum' || key === 'maximum') && Math.abs(Number(value)) === Number.MAX_SAFE_INTEGER
}

/** @returns the document without schemas that nothing refers to */
export function tidySchemas<T extends { components: { schemas: object } }>(document: T): T {
  const { components, ...rest } = document
  const schemas = components.schemas as Schemas
  const used = new Set<string>()
  collect(rest as unknown as Json, schemas, used)
  const named = [...used].map((name) => [shorten(name, used), schemas[name] as Json] as const)
  const kept = Object.fromEntries(named.sort(([one], [other]) => (one < other ? -1 : 1)))
  const tidy = { ...rest, components: { ...components, schemas: kept } }
  return JSON.parse(JSON.stringify(tidy), function (this: { [name: string]: Json }, key, value: Json) {
    if (key === '$ref' && typeof value === 'string') return PREFIX + shorten(value.slice(PREFIX.length), used)
    return isNoise(this, key, value) ? undefined : value
  })
}
