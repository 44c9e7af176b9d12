// Live progress: a bar for each generation of the batch, or plain lines where there is no terminal to draw on.

import { setTimeout as delay } from 'node:timers/promises'
import type { GenerationJson } from '@reelqueue/shared/contract/generation'
import { withTimeout } from '@reelqueue/shared/runtime/clock'
import { Listr, type ListrTask } from 'listr2'

const LOOK_EVERY_MS = 300
const WEBHOOK_TIMEOUT_MS = 60_000
const BAR_CELLS = 16
const PROMPT_CHARS = 44
/** The bar of a render fills with time, and never quite: nobody knows how long it will take. */
const TYPICAL_RENDER_MS = 8_000

export interface Progress {
  /** The batch's generations in the order to show them in. */
  readonly generations: readonly GenerationJson[]
  /** The same generations as they are now. */
  readonly look: () => Promise<readonly GenerationJson[]>
  /** Resolves to a word about the webhook of a generation that has ended. */
  readonly receipt: (generation: GenerationJson) => Promise<string>
  readonly timeoutMs: number
  /** Ends the show at once. */
  readonly stopping: AbortSignal
}

/**
 * Shows progress until every generation has ended and its webhook came.
 * @throws an error when the time is up, or when it was stopped
 */
export async function showProgress({ generations, look, receipt, timeoutMs, stopping }: Progress): Promise<void> {
  const giveUp = AbortSignal.timeout(timeoutMs)
  const latest = new Map<string, GenerationJson>()
  const renderingSince = new Map<string, number>()
  let looking = true
  const watching = (async () => {
    while (looking) {
      for (const generation of await look()) {
        latest.set(generation.id, generation)
        if (generation.status === 'processing' && !renderingSince.has(generation.id)) {
          renderingSince.set(generation.id, performance.now())
        }
      }
      await delay(LOOK_EVERY_MS)
    }
  })()

  const tasks = generations.map(
    ({ id, prompt }): ListrTask => ({
      title: line('queued', 0, prompt),
      task: async (_context, task) => {
        for (;;) {
          giveUp.throwIfAborted()
          // While bars are drawn, nothing else that is printed is seen: whoever pressed Ctrl-C would press it again.
          if (stopping.aborted && process.stdout.isTTY) return task.skip()
          const generation = latest.get(id)
          if (generation?.finished_at) {
            const ended =
              generation.status === 'completed'
                ? generation.video_url
                : `${generation.error?.code}: ${generation.error?.message}`
            task.title = `${line(generation.status, 1, generation.prompt)}\n${ended}\nwebhook ${await withTimeout(receipt(generation), WEBHOOK_TIMEOUT_MS, 'the webhook')}`
            if (generation.status !== 'completed') throw new Error(task.title)
            return
          }
          if (generation) {
            const since = renderingSince.get(id)
            const done =
              since === undefined ? 0.05 : 1 - 0.9 * Math.exp((since - performance.now()) / TYPICAL_RENDER_MS)
            const title = line(generation.status, done, generation.prompt)
            // Without a terminal each change of the title is a line of its own.
            if (process.stdout.isTTY) task.title = title
          }
          await delay(LOOK_EVERY_MS)
        }
      },
    }),
  )
  try {
    // A look that fails (the API is being stopped) ends the show.
    await Promise.race([
      new Listr(tasks, {
        concurrent: true,
        exitOnError: false,
        registerSignalListeners: false,
        rendererOptions: { collapseErrors: true, showSkipMessage: false },
      }).run(),
      watching,
    ])
    stopping.throwIfAborted()
  } finally {
    looking = false
  }
}

function line(status: string, share: number, prompt: string): string {
  const cells = Math.round(share * BAR_CELLS)
  const text = prompt.length > PROMPT_CHARS ? `${prompt.slice(0, PROMPT_CHARS - 1)}…` : prompt
  return `${'█'.repeat(cells)}${'░'.repeat(BAR_CELLS - cells)} ${status.padEnd(10)} ${text}`
}
