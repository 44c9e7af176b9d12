// The request that is paid for.

/** A generation's request to the provider, in normal form: aliases resolved, absent fields null. */
export interface RenderRequest {
  readonly model: string
  readonly prompt: string
  readonly size: string | null
  /** Clip length in seconds. */
  readonly seconds: number | null
  readonly inputReference: readonly string[] | null
}
