// The odd words that real providers use for a status, and the phase of each word.

export type Phase = 'queued' | 'processing' | 'completed' | 'failed'

const WORDS: Readonly<Record<Phase, readonly string[]>> = {
  queued: ['queued', 'pending', 'submitted', 'waiting'],
  processing: ['processing', 'running', 'generating', 'in_progress'],
  completed: ['completed', 'succeeded', 'success', 'done'],
  failed: ['failed', 'error', 'failure', 'canceled', 'cancelled', 'expired'],
}
const PHASES = Object.keys(WORDS) as Phase[]

/** The phases shown as `word` (any case): the phase of a known word, both unfinished phases for an unknown word. */
export function phasesFor(word: string): readonly Phase[] {
  const phase = PHASES.find((candidate) => WORDS[candidate].includes(word.toLowerCase()))
  return phase === undefined ? ['queued', 'processing'] : [phase]
}
