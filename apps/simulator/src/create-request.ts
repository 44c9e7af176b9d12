// The documented rules for the body of a create request. The upstream refuses with HTTP 200 and a code, so a broken rule is returned here
// as a message, never thrown.
import { z } from 'zod'

const seconds = z.union([z.literal(4), z.literal(8), z.literal(12)], { error: 'must be one of 4, 8, 12' }).optional()
const imageUrls = z
  .array(z.url({ protocol: /^https?$/ }))
  .max(1)
  .optional()

const schema = z.looseObject({
  model: z.enum(['openAiSora2Plus', 'openAiSora2Pro']),
  prompt: z.string().min(1),
  size: z.enum(['720x1280', '1280x720']).optional(),
  aspect_ratio: z.enum(['16:9', '9:16']).optional(),
  duration: seconds,
  seconds,
  input_reference: imageUrls,
  image_urls: imageUrls,
})

const EXCLUSIONS = [
  ['size', 'aspect_ratio'],
  ['duration', 'seconds'],
  ['input_reference', 'image_urls'],
] as const

export interface CreateRequest {
  readonly model: string
  readonly prompt: string
  readonly size: '720x1280' | '1280x720'
  /** Clip length; 4 when the request names no length (the upstream's own default is not documented). */
  readonly seconds: 4 | 8 | 12
}

/** Reads a parsed JSON body. Unknown fields are ignored; a broken rule is returned as `problem`. */
export function readCreateRequest(body: unknown): CreateRequest | { readonly problem: string } {
  const parsed = schema.safeParse(body)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    return { problem: `${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'invalid'}` }
  }
  const data = parsed.data
  for (const [one, other] of EXCLUSIONS) {
    if (data[one] !== undefined && data[other] !== undefined) {
      return { problem: `${one} and ${other} cannot be used together` }
    }
  }
  const size = data.size ?? (data.aspect_ratio === '16:9' ? '1280x720' : '720x1280')
  return { model: data.model, prompt: data.prompt, size, seconds: data.duration ?? data.seconds ?? 4 }
}
