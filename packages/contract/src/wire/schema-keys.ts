// The field names of an object in a zod schema, for refusals that tell the right names.

import type { z } from 'zod'

interface Def {
  readonly shape?: Readonly<Record<string, z.core.$ZodType>>
  readonly innerType?: z.core.$ZodType
  readonly element?: z.core.$ZodType
  readonly in?: z.core.$ZodType
  readonly out?: z.core.$ZodType
}

/** @returns the field names of the object at `path`; null when the schema has no object there */
export function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] | null {
  const { shape, innerType, element, in: before, out: after } = schema._zod.def as Def
  if (innerType) return keysAt(innerType, path)
  if (before && after) return keysAt(before, path) ?? keysAt(after, path)
  const [first, ...rest] = path
  if (first === undefined) return shape ? Object.keys(shape) : null
  if (element) return keysAt(element, rest)
  const inner = shape && Object.hasOwn(shape, first) ? shape[String(first)] : undefined
  return inner ? keysAt(inner, rest) : null
}
