// The odd words that providers have been seen to use for a status, and the phase in which each makes sense.

export type Phase = 'queued' | 'processing' | 'completed' | 'failed'

const WORDS: Readonly<Record<Phase, readonly string[]>> = {
  queued: ['queued', 'pending', 'submitted', 'waiting'],
  processing: ['processing', 'running', 'generating', 'in_progress'],
  completed: ['completed', 'succeeded', 'success', 'done'],
  failed: ['failed', 'error', 'failure', 'canceled', 'cancelled', 'expired'],
}
const PHASES = Object.keys(WORDS) as Phase[]

/** The phases that show as `word` (any case): one for a known word, both unfinished ones for any other. */
export function phasesFor(word: string): readonly Phase[] {
  const phase = PHASES.find((candidate) => WORDS[candidate].includes(word.toLowerCase()))
  return phase === undefined ? ['queued', 'processing'] : [phase]
}
