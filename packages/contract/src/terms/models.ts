// The only table of models: what each model allows. A new model is a row here and a row in the folder of its provider,
// never a code path. The values are documented by the provider, except the bound of the prompt, which is ours (the
// provider names no bound).

export interface ModelSpec {
  readonly sizes: readonly string[]
  /** Aspect ratio → its size. */
  readonly aspectRatios: Readonly<Record<string, string>>
  /** Allowed clip lengths. */
  readonly seconds: readonly number[]
  readonly inputReferencesMax: number
  readonly promptCharsMax: number
}

const sora = {
  sizes: ['720x1280', '1280x720'],
  aspectRatios: { '16:9': '1280x720', '9:16': '720x1280' },
  seconds: [4, 8, 12],
  inputReferencesMax: 1,
  promptCharsMax: 32_000,
} as const

export const models = {
  openAiSora2Plus: sora,
  openAiSora2Pro: sora,
} as const satisfies Record<string, ModelSpec>

export type ModelName = keyof typeof models

/** Whether the table has a model of this name. */
export function isModelName(name: string): name is ModelName {
  return Object.hasOwn(models, name)
}

/** The model's row, or null for an unknown name. */
export function findModel(name: string): ModelSpec | null {
  return isModelName(name) ? models[name] : null
}

/** The size of an aspect ratio, or null when the model does not offer the ratio. */
export function sizeOfAspectRatio(model: ModelSpec, aspectRatio: string): string | null {
  return Object.hasOwn(model.aspectRatios, aspectRatio) ? (model.aspectRatios[aspectRatio] ?? null) : null
}
