// What a free question showed about the provider itself. The adapter decides the kind; everything else reads the kind and never a code.

/**
 * - `answered`: the provider is there.
 * - `tells_of_anything`: the answer names the state of a task that was never made. A server that is not the provider does that.
 * - `refused`: the provider is there and refuses the key.
 * - `unclear`: an error page, or what cannot be read. A server in between may have answered.
 * - `silent`: no one answered.
 */
export interface Ping {
  readonly kind: 'answered' | 'tells_of_anything' | 'refused' | 'unclear' | 'silent'
  /** Null: the answer was in good form. */
  readonly code: string | null
  readonly message: string
}
