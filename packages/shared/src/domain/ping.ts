// The answer to a free question, as a fact about the provider. The adapter decides the kind; all other code reads the
// kind and never a code.

/**
 * - `answered`: the provider is there.
 * - `tells_of_anything`: the answer names the state of a task that was never made. A server that is not the provider
 * answers in this way.
 * - `refused`: the provider is there and refuses the key.
 * - `unclear`: an error page, or an unreadable answer. A server in between may have answered.
 * - `silent`: there was no answer.
 */
export interface Ping {
  readonly kind: 'answered' | 'tells_of_anything' | 'refused' | 'unclear' | 'silent'
  /** Null: the answer was well-formed. */
  readonly code: string | null
  readonly message: string
}
