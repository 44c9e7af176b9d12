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
      /** Seconds, as the provider reports them, possibly fractional: as seen, the length of the delivered clip. */
      readonly actualDuration: number | null
      readonly cost: Cost | null
      /** When the link stops to work, by its own signature or by the answer; absent when neither says. ISO 8601. */
      readonly expiresAt?: string
    }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly cost: Cost | null }
