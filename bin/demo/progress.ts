// Live progress: a bar for each generation of the batch, or plain lines without a terminal.

import { setTimeout as delay } from 'node:timers/promises'
import type { GenerationJson } from '@reelqueue/contract/wire/generation'
import { withTimeout } from '@reelqueue/shared/runtime/clock'
import { Listr, type ListrTask } from 'listr2'

const LOOK_EVERY_MS = 300
const WEBHOOK_TIMEOUT_MS = 60_000
const BAR_CELLS = 16
const PROMPT_CHARS = 44
/** The bar of a render fills with time, and never completely: the length of a render is unknown. */
const TYPICAL_RENDER_MS = 8_000

export interface Progress {
  /** The batch's generations in display order. */
  readonly generations: readonly GenerationJson[]
  /** The current state of the same generations. */
  readonly look: () => Promise<readonly GenerationJson[]>
  /** Resolves to a short text about the webhook of an ended generation. */
  readonly receipt: (generation: GenerationJson) => Promise<string>
  readonly timeoutMs: number
  /** Ends the display immediately. */
  readonly stopping: AbortSignal
}

/**
 * Shows progress until every generation has ended and its webhook has arrived.
 * @throws an error after the timeout, or after an abort
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
          // Bars hide all other output: a user who pressed Ctrl-C would see no reaction and press again.
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
            // Without a terminal each change of the title prints a new line.
            if (process.stdout.isTTY) task.title = title
          }
          await delay(LOOK_EVERY_MS)
        }
      },
    }),
  )
  try {
    // A failing look (the API is being stopped) ends the display.
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
