// The form of an upstream task id: opaque, but a bounded text that fits into Postgres and into a URL.

export const TASK_ID_CHARS_MAX = 512

/** Whether `text` can be a task id: not blank, bounded, without control characters and lone surrogates. */
export function isTaskId(text: string): boolean {
  return text.length <= TASK_ID_CHARS_MAX && text.trim() !== '' && !/[\p{Cc}\p{Cs}]/u.test(text)
}
