// The upstream's final answer about a task, in normal form. Between the poll and the complete step, the answer is
// stored on the row as JSON.

export interface Cost {
  readonly amount: number | null
  readonly totalTokens: number | null
}

export type TerminalAnswer =
  | {
      readonly kind: 'completed'
      readonly videoUrl: string
      /**
       * Seconds, as the provider reports, possibly fractional. In observed answers: the length of the delivered clip.
       */
      readonly actualDuration: number | null
      readonly cost: Cost | null
      /**
       * When the link stops working, by its own signature or by the answer; absent when neither names a moment. ISO
       * 8601.
       */
      readonly expiresAt?: string
      /** How long the link works from the end of the render, as the provider promises; absent in answers of earlier versions. */
      readonly linkLifeMs?: number
    }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly cost: Cost | null }
