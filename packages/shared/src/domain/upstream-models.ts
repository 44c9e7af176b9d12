/** An upstream as admission sees it. A generation belongs to the upstream that renders its model. */
export interface UpstreamModels {
  /** The name of its row in `upstream_gates`. */
  readonly name: string
  /** The names of the models that the upstream renders. */
  readonly models: readonly string[]
}
