// The fields of a caller's request: the upstream's own names plus Reelqueue's. The allowed values come from the model
// table.

import { z } from 'zod'
import { checkImageUrl } from '../terms/image-url.ts'
import { findModel, type ModelSpec, models, sizeOfAspectRatio } from '../terms/models.ts'
import { checkWebhookUrl, WEBHOOK_URL_BYTES_MAX } from '../terms/webhook-url.ts'
import { isBlank } from '../text/blank-text.ts'
import { utf8Bytes } from '../text/utf8-bytes.ts'

/** Bytes of JSON. */
export const METADATA_BYTES_MAX = 16_384
/** No model takes more images. The elements of a longer list are not looked at. */
const IMAGES_MAX = Math.max(...Object.values(models).map((model) => model.inputReferencesMax))

/** A rule that zod cannot express. `allowed` reaches the caller; `received` helps to guess the intended value. */
function broken(rule: string, allowed: unknown, path: PropertyKey[] = [], received?: unknown) {
  return { code: 'custom' as const, path, message: rule, params: { rule, allowed, received } }
}

/** The provider fetches the parsed form of the URL, so the parsed form is stored, compared and sent. */
const imageUrl = z.string().transform((value, context) => {
  const check = checkImageUrl(value)
  if (check.ok) return check.href
  context.addIssue(broken(check.rule, check.allowed))
  return z.NEVER
})

export const webhookUrl = z.string().transform((value, context) => {
  const check = checkWebhookUrl(value.length > WEBHOOK_URL_BYTES_MAX ? value : value.trim())
  // The parsed form is stored, and may be longer than the given text.
  if (check.ok && check.url.href.length <= WEBHOOK_URL_BYTES_MAX) return check.url.href
  context.addIssue(
    broken(
      `webhook_url_${check.ok ? 'too_long' : check.refusal}`,
      'an absolute http or https URL without credentials, at most 2,048 bytes',
    ),
  )
  return z.NEVER
})

export const metadata = z.record(z.string(), z.unknown()).superRefine((value, context) => {
  if (utf8Bytes(JSON.stringify(value)) > METADATA_BYTES_MAX) {
    context.addIssue(broken('max_bytes', METADATA_BYTES_MAX))
  }
})

// Counted before the elements are checked: zod makes an issue of every wrong element, and millions would fill the
// memory.
const images = z
  .array(z.unknown().meta({ type: 'string' }))
  .min(1)
  // Not `max`, because `max` would also measure a string in the place of a list.
  .superRefine((list, context) => {
    if (list.length > IMAGES_MAX) context.addIssue(broken('max_items', IMAGES_MAX))
  })
  .meta({ maxItems: IMAGES_MAX })
  .pipe(z.array(imageUrl))
  .nullish()

/**
 * The values that any model allows, for the OpenAPI document. `checkTogether` checks the values of the request's own
 * model.
 */
function anyModel<T>(allowed: (model: ModelSpec) => readonly T[]): T[] {
  return [...new Set(Object.values(models).flatMap(allowed))]
}

const shape = {
  model: z
    .string()
    .superRefine((value, context) => {
      if (!findModel(value)) context.addIssue(broken('one_of', Object.keys(models), [], value))
    })
    .meta({ enum: Object.keys(models) }),
  prompt: z
    .string()
    .min(1)
    // `min(1)` already refuses an empty prompt.
    .refine((text) => text === '' || !isBlank(text), {
      params: { rule: 'blank', allowed: 'at least one character that can be seen' },
    })
    .describe('1 to 32,000 characters, at least one of which can be seen.'),
  size: z
    .string()
    .meta({ enum: anyModel((model) => model.sizes) })
    .nullish()
    .describe('`720x1280` or `1280x720`. Never together with `aspect_ratio`.'),
  aspect_ratio: z
    .string()
    .meta({ enum: anyModel((model) => Object.keys(model.aspectRatios)) })
    .nullish()
    .describe('`16:9` or `9:16`. Never together with `size`.'),
  seconds: z
    .int()
    .meta({ enum: anyModel((model) => model.seconds) })
    .nullish()
    .describe('4, 8 or 12, as a number. Never together with `duration`.'),
  duration: z
    .int()
    .meta({ enum: anyModel((model) => model.seconds) })
    .nullish()
    .describe('Another name for `seconds`.'),
  input_reference: images.describe(
    'At most one http or https URL of an image that the provider can reach, up to 8,192 characters; kept and sent as a URL parser writes it. Never together with `image_urls`.',
  ),
  image_urls: images.describe('Another name for `input_reference`.'),
  webhook_url: webhookUrl.nullish().describe('Gets a signed webhook when the generation ends.'),
  custom_id: z
    .string()
    .min(1)
    .max(256)
    .nullish()
    .describe('Your own name for the generation; lists can be filtered by it.'),
  metadata: metadata.nullish().describe('Any JSON object up to 16 KB; replies repeat it unchanged.'),
  priority: z.int().min(-100).max(100).nullish().describe('Within a project, higher goes first; default 0.'),
  on_unknown_submission: z
    .enum(['fail', 'resubmit'])
    .nullish()
    .describe(
      'What to do when it is unknown whether the provider accepted the (paid) submission: `fail`, or `resubmit` at most once.',
    ),
}

const PAIRS = [
  ['size', 'aspect_ratio'],
  ['seconds', 'duration'],
  ['input_reference', 'image_urls'],
] as const

/** The fields of a body; some fields may be wrong. */
type Fields = Readonly<Record<string, unknown>>

/** The rules between fields, and the rules that depend on the model. */
function checkTogether(request: Fields, context: z.RefinementCtx): void {
  for (const [one, other] of PAIRS) {
    if (request[one] != null && request[other] != null)
      context.addIssue(broken('exclusive', `either ${one} or ${other}`, [other]))
  }
  const { model: name, prompt } = request
  const model = typeof name === 'string' ? findModel(name) : null
  if (!model) return
  checkOneOf(request, 'size', 'string', model.sizes, context)
  checkOneOf(request, 'aspect_ratio', 'string', Object.keys(model.aspectRatios), context)
  checkOneOf(request, 'seconds', 'number', model.seconds, context)
  checkOneOf(request, 'duration', 'number', model.seconds, context)
  for (const field of ['input_reference', 'image_urls'] as const) {
    const list = request[field]
    const count = Array.isArray(list) ? list.length : 0
    if (count > model.inputReferencesMax && count <= IMAGES_MAX)
      context.addIssue(broken('max_items', model.inputReferencesMax, [field]))
  }
  if (typeof prompt === 'string' && hasMoreCodePoints(prompt, model.promptCharsMax)) {
    context.addIssue(broken('max_length', model.promptCharsMax, ['prompt']))
  }
}

/** A value of another type, or a fraction in the place of a whole number, has been refused already. */
function checkOneOf(
  request: Fields,
  field: string,
  type: 'string' | 'number',
  allowed: readonly unknown[],
  context: z.RefinementCtx,
): void {
  const value = request[field]
  if (typeof value !== type || (type === 'number' && !Number.isInteger(value))) return
  if (!allowed.includes(value)) context.addIssue(broken('one_of', allowed, [field], value))
}

/** Also checks a body with other wrong fields, so that one reply names all faults. */
const together = z.superRefine(checkTogether)
together._zod.def.when = ({ value }: z.core.ParsePayload) =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * The provider, like JSON Schema, counts code points of one or two UTF-16 units each. Only a length between the two
 * bounds is counted.
 */
function hasMoreCodePoints(text: string, max: number): boolean {
  return text.length > max && (text.length > 2 * max || [...text].length > max)
}

/** Works as it is: the reference page sends it. */
const EXAMPLE = {
  model: 'openAiSora2Plus',
  prompt: 'A fox in the snow, at dawn',
  aspect_ratio: '16:9',
  seconds: 8,
  custom_id: 'fox-1',
}

export const generationRequest = z
  .strictObject(shape)
  .check(together)
  .meta({ id: 'GenerationRequest', example: EXAMPLE })
export type GenerationRequest = z.output<typeof generationRequest>

/** The same fields for clients of the upstream. Further fields are ignored, as the upstream does. */
export const globalAiRequest = z.object(shape).check(together).meta({ id: 'GlobalAiRequest', example: EXAMPLE })

/** The fields of `defaults` in a batch: any field of its items. */
export const generationDefaults = z.strictObject(shape).partial().meta({ id: 'GenerationDefaults', example: EXAMPLE })

/** A request in normal form: aliases resolved, absent fields null. Equal requests have equal normal forms. */
export interface NormalRequest {
  readonly model: string
  readonly prompt: string
  readonly size: string | null
  readonly seconds: number | null
  readonly inputReference: readonly string[] | null
  readonly webhookUrl: string | null
  readonly customId: string | null
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly priority: number
  readonly onUnknownSubmission: 'fail' | 'resubmit' | null
}

export function normalForm(request: GenerationRequest): NormalRequest {
  const model = findModel(request.model)
  const ratio = request.aspect_ratio
  return {
    model: request.model,
    prompt: request.prompt,
    size: request.size ?? (model && ratio ? sizeOfAspectRatio(model, ratio) : null),
    seconds: request.seconds ?? request.duration ?? null,
    inputReference: request.input_reference ?? request.image_urls ?? null,
    webhookUrl: request.webhook_url ?? null,
    customId: request.custom_id ?? null,
    metadata: request.metadata ?? null,
    priority: request.priority ?? 0,
    onUnknownSubmission: request.on_unknown_submission ?? null,
  }
}
