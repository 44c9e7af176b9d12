// The names that an object of a zod schema takes, for refusals that say what would have been right.

import type { z } from 'zod'

interface Def {
  readonly shape?: Readonly<Record<string, z.core.$ZodType>>
  readonly innerType?: z.core.$ZodType
  readonly element?: z.core.$ZodType
  readonly in?: z.core.$ZodType
  readonly out?: z.core.$ZodType
}

/** @returns the names that the object at `path` takes; null where the schema has no such object */
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
