// The codes of failed generations. Refusals and failures of the upstream have their own codes (`upstream_…`).

export const FAILURES = {
  unknown_model: 'This Reelqueue no longer offers the model. Nothing was submitted.',
  content_rejected:
    'The provider refused the content. What it refused at once was not charged; what it had begun to render may have been: `may_be_charged` says which.',
  given_up_before_post: 'The workers were too slow for a whole day to send the request. Nothing was submitted.',
  submission_unknown:
    'It is not known whether the provider took this request: it may be rendering, and may have been charged. It was not submitted again.',
  deadline_exceeded:
    'The provider gave no result within the deadline. It is still asked about at a low rate for a day after submission.',
  adopted_task_unknown: 'The provider does not know the task any more that was adopted.',
  adopted_task_reclaimed: 'The task that was adopted turned out to be that of another generation, which has it now.',
  completed_without_url: 'The provider says that it has finished but gave no video URL before the deadline.',
  unstorable_answer:
    'The provider has answered, and Postgres refuses to store what it said: the log of the worker names the task and the error. It is still asked about at a low rate for a day after submission.',
} as const
export type FailureCode = keyof typeof FAILURES
