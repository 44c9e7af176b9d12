// The sentences for the codes of `why.ts`: one table for the console, the API and the doctor.

import type { WhoActs, WhyCode } from './why.ts'

export type WhyAction =
  | 'retry'
  | 'cancel'
  | 'adopt'
  | 'resume_submitting'
  | 'resume_project'
  | 'raise_slots'
  | 'start_worker'

export interface WhyMeaning {
  /** One sentence, without names and numbers of the case. */
  readonly words: string
  readonly next: WhoActs
  readonly actions: readonly WhyAction[]
}

const WAITS = ['cancel'] as const

export const WHY_MEANINGS: Readonly<Record<WhyCode, WhyMeaning>> = {
  waiting_turn: {
    words: 'It waits for its turn: other generations of its project come first.',
    next: 'reelqueue',
    actions: WAITS,
  },
  project_paused: { words: 'Its project is paused.', next: 'operator', actions: ['resume_project', 'cancel'] },
  paused_by_operator: {
    words: 'Submitting is paused until an operator resumes it.',
    next: 'operator',
    actions: ['resume_submitting', 'cancel'],
  },
  account_refused: {
    words: 'The provider refuses the account; one submission is tried from time to time.',
    next: 'operator',
    actions: ['resume_submitting', 'cancel'],
  },
  requests_refused: {
    words: 'The provider refuses all requests alike; one submission is tried from time to time.',
    next: 'operator',
    actions: ['resume_submitting', 'cancel'],
  },
  provider_unreachable: {
    words: 'The provider does not answer; submitting resumes when it does.',
    next: 'provider',
    actions: WAITS,
  },
  asked_to_wait: { words: 'The provider asked to wait.', next: 'reelqueue', actions: WAITS },
  no_upstream_key: {
    words: 'No key of the provider is set, so nothing is submitted.',
    next: 'operator',
    actions: WAITS,
  },
  slots_full: { words: 'All slots are taken.', next: 'reelqueue', actions: ['raise_slots', 'cancel'] },
  model_slots_full: {
    words: 'All slots of its model are taken.',
    next: 'reelqueue',
    actions: ['raise_slots', 'cancel'],
  },
  project_slots_full: {
    words: 'Its project has as many generations in flight as it may have.',
    next: 'reelqueue',
    actions: ['raise_slots', 'cancel'],
  },
  no_worker: { words: 'No worker runs.', next: 'operator', actions: ['start_worker', 'cancel'] },
  admitted: { words: 'It has a slot and is about to be submitted.', next: 'reelqueue', actions: WAITS },
  submitting: { words: 'The provider is asked to create its task.', next: 'provider', actions: WAITS },
  backing_off: { words: 'The provider refused it for now; it is tried again.', next: 'reelqueue', actions: WAITS },
  lease_ran_out: {
    words: 'Its submission has had no outcome in time; it is about to count as unknown.',
    next: 'reelqueue',
    actions: [],
  },
  rendering: { words: 'The provider renders it.', next: 'provider', actions: WAITS },
  slower_than_usual: {
    words: 'It renders for longer than 99 of 100 recent clips of its kind.',
    next: 'provider',
    actions: WAITS,
  },
  poll_failing: { words: 'The provider does not say how it is: polls fail.', next: 'provider', actions: WAITS },
  no_url_yet: { words: 'The provider says completed, and gives no link yet.', next: 'provider', actions: WAITS },
  answer_waits: {
    words: 'The provider has answered; the answer is about to be stored.',
    next: 'reelqueue',
    actions: [],
  },
  cancel_requested: { words: 'Its cancel waits for the outcome of its submission.', next: 'reelqueue', actions: [] },
  still_asked: {
    words: 'It failed, and the provider is still asked: a late video completes it.',
    next: 'reelqueue',
    actions: ['retry'],
  },
  unstorable: {
    words: 'Postgres refuses to write its next change; the change is tried again.',
    next: 'operator',
    actions: [],
  },
  ended: { words: 'It has ended.', next: 'nobody', actions: [] },
}
