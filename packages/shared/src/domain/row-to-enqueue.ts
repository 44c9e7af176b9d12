/**
 * A row to enqueue. The job id consists of the row's id and its dispatch count, so a retained job cannot block the next
 * job.
 */
export interface RowToEnqueue {
  readonly id: string
  readonly dispatchCount: number
}
