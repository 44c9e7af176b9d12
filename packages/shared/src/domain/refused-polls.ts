// Whether the provider refuses to say what becomes of tasks: a key that was changed, or another address. Waiting never mends it, and
// each generation would end at its deadline. Pure.

/** The last answers about generations in flight. */
export interface PollsSeen {
  /** Generations that the provider renders and that were asked about. */
  readonly asked: number
  /** Of those, whose last poll was refused, or whose task is not known. */
  readonly refused: number
  /** An HTTP status of a refusal; of the account's if there is one. */
  readonly httpStatus: number | null
  /** When one of them was last seen to render, else the oldest submission of those refused. */
  readonly since: Date | null
}

const OF_ACCOUNT: readonly number[] = [401, 402, 403, 407]
/** So many tasks are not refused because of what they are. */
const TASKS_MIN = 3

/** Since when polls are refused alike; null while they are not. One task that the provider does not know says nothing. */
export function pollsRefusedSince({ asked, refused, httpStatus, since }: PollsSeen): Date | null {
  const isAlike = refused >= TASKS_MIN || (refused > 0 && OF_ACCOUNT.includes(httpStatus ?? 0))
  return isAlike && refused * 2 > asked ? since : null
}
