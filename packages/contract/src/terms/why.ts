// Why an open generation is where it is: the codes that the console, the doctor and the API share. The sentences are in
// `why-words.ts`; `@reelqueue/shared/domain/why` chooses the code.

export const WHY_CODES = [
  'waiting_turn',
  'project_paused',
  'paused_by_operator',
  'account_refused',
  'requests_refused',
  'provider_unreachable',
  'asked_to_wait',
  'no_upstream_key',
  'slots_full',
  'model_slots_full',
  'project_slots_full',
  'no_worker',
  'admitted',
  'submitting',
  'backing_off',
  'lease_ran_out',
  'rendering',
  'slower_than_usual',
  'poll_failing',
  'no_url_yet',
  'answer_waits',
  'cancel_requested',
  'still_asked',
  'unstorable',
  'ended',
] as const
export type WhyCode = (typeof WHY_CODES)[number]

/** Who acts next. */
export const WHO_ACTS = ['reelqueue', 'provider', 'operator', 'customer', 'nobody'] as const
export type WhoActs = (typeof WHO_ACTS)[number]
