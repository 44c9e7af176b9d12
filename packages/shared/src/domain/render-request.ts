// What is paid for, in normal form.

/** What a generation asks of the provider, in normal form: aliases resolved, absent fields null. */
export interface RenderRequest {
  readonly model: string
  readonly prompt: string
  readonly size: string | null
  /** Clip length in seconds. */
  readonly seconds: number | null
  readonly inputReference: readonly string[] | null
}
