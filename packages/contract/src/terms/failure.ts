// The codes of failed generations. Refusals and failures of the upstream have their own codes (`upstream_…`).

export const FAILURES = {
  unknown_model: 'This installation no longer offers the model. Nothing was submitted.',
  content_rejected:
    'The provider refused the content. A refusal before the render was not charged; a refusal after the render began may have been charged: `may_be_charged` says which.',
  given_up_before_post: 'The workers were too slow for a whole day to send the request. Nothing was submitted.',
  submission_unknown:
    'It is not known whether the provider took this request: it may be rendering, and may have been charged. It was not submitted again.',
  deadline_exceeded:
    'The provider gave no result within the deadline. Polling goes on at a low rate for a day after the submission.',
  adopted_task_unknown: 'The provider no longer knows the adopted task.',
  adopted_task_reclaimed: 'The adopted task turned out to belong to another generation, which has it now.',
  completed_without_url: 'The provider reported success but gave no video URL before the deadline.',
  unstorable_answer:
    'The provider has answered, and Postgres refuses to store the answer: the log of the worker names the task and the error. Polling goes on at a low rate for a day after the submission.',
} as const
export type FailureCode = keyof typeof FAILURES
