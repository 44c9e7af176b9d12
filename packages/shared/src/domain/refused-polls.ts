// Whether the provider refuses to report on tasks, because of a changed key or another address. Waiting does not help,
// and each generation would end at its deadline. Pure.

/** The last answers about generations in flight. */
export interface PollsSeen {
  /** Rendering generations that were polled. */
  readonly asked: number
  /** Polled generations whose last poll was refused, or whose task is unknown to the provider. */
  readonly refused: number
  /** The HTTP status of a refusal; a status about the account, if there is one. */
  readonly httpStatus: number | null
  /** When a generation was last seen to render; otherwise the oldest submission of the refused generations. */
  readonly since: Date | null
}

const OF_ACCOUNT: readonly number[] = [401, 402, 403, 407]
/** With this many refused tasks, the tasks themselves are not the cause. */
const TASKS_MIN = 3

/**
 * Since when polls are refused alike; null while polls are not refused. One task unknown to the provider says nothing.
 */
export function pollsRefusedSince({ asked, refused, httpStatus, since }: PollsSeen): Date | null {
  const isAlike = refused >= TASKS_MIN || (refused > 0 && OF_ACCOUNT.includes(httpStatus ?? 0))
  return isAlike && refused * 2 > asked ? since : null
}
