// The one table of models: where each is created and what it allows. A new model is a row here, never a code
// path. Values are the provider's documented ones; only the prompt bound is ours (the provider names none).

export interface ModelSpec {
  /** Path below the base URL that creates a task. */
  readonly createPath: string
  readonly sizes: readonly string[]
  /** Aspect ratio → the size it stands for. */
  readonly aspectRatios: Readonly<Record<string, string>>
  /** Allowed clip lengths. */
  readonly seconds: readonly number[]
  readonly inputReferencesMax: number
  readonly promptCharsMax: number
}

const sora = {
  createPath: '/v1/sora/videos',
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

/** Whether the table has this model. */
export function isModelName(name: string): name is ModelName {
  return Object.hasOwn(models, name)
}

/** The model's row, or null when the table has none of that name. */
export function findModel(name: string): ModelSpec | null {
  return isModelName(name) ? models[name] : null
}

/** The size an aspect ratio stands for, or null when the model does not offer that ratio. */
export function sizeOfAspectRatio(model: ModelSpec, aspectRatio: string): string | null {
  return Object.hasOwn(model.aspectRatios, aspectRatio) ? (model.aspectRatios[aspectRatio] ?? null) : null
}
