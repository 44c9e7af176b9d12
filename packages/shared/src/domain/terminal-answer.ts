// The upstream's final word about a task, in normal form: it waits on the row between the poll that heard it
// and the complete step, and is read back from JSON.

export interface Cost {
  readonly amount: number | null
  readonly totalTokens: number | null
}

export type TerminalAnswer =
  | {
      readonly kind: 'completed'
      readonly videoUrl: string
      /** Render time in seconds as the provider reports it, possibly fractional. */
      readonly actualDuration: number | null
      readonly cost: Cost | null
    }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly cost: Cost | null }
