// The requests of the clients of a chaos run. Each prompt is unique: the prompt identifies the generation in the provider's record.

import { FORMS } from '@reelqueue/simulator/forms'
import type { Dice } from './dice.ts'

/** How the provider treats a request, by tags of the simulator. Each behaviour applies to its own prompt only. */
const BEHAVIOURS: readonly (readonly [weight: number, (dice: Dice) => string])[] = [
  [50, () => ''],
  [6, (dice) => `[sim:429=${dice.whole(1, 2)}][sim:retryafter=${dice.whole(0, 2)}]`],
  [3, () => '[sim:reset=1]'],
  [2, () => '[sim:hang=1]'],
  [2, () => '[sim:stall=1]'],
  [2, () => '[sim:html=1]'],
  [2, () => '[sim:empty=1]'],
  [2, () => '[sim:truncated=1]'],
  [2, () => '[sim:noid=1]'],
  [3, () => '[sim:500=1]'],
  [2, () => '[sim:503=1]'],
  [4, (dice) => `[sim:slow=${dice.whole(100, 1_500)}]`],
  [2, () => '[sim:reject=1001,no such thing]'],
  [2, () => '[sim:refuse=403,content not allowed]'],
  [2, () => '[sim:429=1][sim:reset=1]'],
  [8, (dice) => `[sim:${dice.pick(FORMS)}=1]`],
  [4, (dice) => `[sim:poll${dice.pick(FORMS)}=${dice.whole(1, 3)}]`],
  [2, (dice) => `[sim:poll401=${dice.whole(1, 3)}]`],
  [4, () => '[sim:signed=3600]'],
  [3, (dice) => `[sim:poll500=${dice.whole(1, 3)}]`],
  [2, () => '[sim:poll404=2]'],
  [2, () => '[sim:pollhang=1]'],
  [2, () => '[sim:pollhtml=1][sim:pollreset=1]'],
  [2, () => '[sim:poll429=1][sim:retryafter=1]'],
  [3, (dice) => `[sim:nourl=${dice.whole(1, 2)}]`],
  [3, () => '[sim:fail=content policy]'],
  [3, (dice) => `[sim:status=${dice.pick(['GENERATING', 'Succeeded', 'waiting', 'whatever'])}]`],
  [2, () => '[sim:idstyle=odd][sim:id=data.projectId][sim:wrap="0"][sim:nulls]'],
  [1, () => '[sim:stuck]'],
]

export interface GenerationBody {
  readonly model: string
  readonly prompt: string
  readonly webhook_url?: string
  readonly on_unknown_submission?: 'fail' | 'resubmit'
  readonly priority?: number
}

/** A generation; `number` must be unique. */
export function generationBody(dice: Dice, number: number, webhookUrl: string): GenerationBody {
  const tags = dice.weighted(BEHAVIOURS)(dice)
  return {
    model: dice.pick(['openAiSora2Plus', 'openAiSora2Pro']),
    prompt: `chaos ${number} ${tags}[sim:render=${dice.whole(0, 3_000)}]`,
    ...(dice.chance(0.8) && { webhook_url: webhookUrl }),
    ...(dice.chance(0.3) && { on_unknown_submission: dice.pick(['fail', 'resubmit'] as const) }),
    ...(dice.chance(0.1) && { priority: dice.whole(-100, 100) }),
  }
}
