// Ensures that an older copy of the database never pays again by itself. While workers run, a mark outside the database (a file in
// DATA_DIR, and a key in Redis where there is one) records the progress of the database; a start compares mark and database.

import { randomUUID } from 'node:crypto'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { AppContext } from '@reelqueue/shared/app-context'
import { type LedgerMark, ledgerSuspicion } from '@reelqueue/shared/domain/ledger'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { pause, withTimeout } from '@reelqueue/shared/runtime/clock'
import { releaseAdmitted } from '@reelqueue/shared/store/admission/admission'
import { setPaused } from '@reelqueue/shared/store/admission/submitting-gate'
import {
  adoptLedger,
  beatLedger,
  hasSubmission,
  ledgerState,
  readLedger,
} from '@reelqueue/shared/store/operator/ledger-watch'
import { z } from 'zod'
import { makeDataDir } from './embedded.ts'

const FILE = 'ledger.json'
/** Between two looks at the newest submission. Reads only. */
const LOOK_MS = 2_000
/** Between two heartbeats in the database, over all workers. */
const BEAT_MS = 30_000
const ANSWER_TIMEOUT_MS = 3_000
/** Retention may delete a submission with its generation: RETENTION_DAYS is at least 30. */
const MARK_AGE_MAX_MS = 29 * 24 * 3_600_000

const mark = z.object({ ledger: z.string(), aliveAtMs: z.number(), submission: z.string().nullable() })
type Mark = z.output<typeof mark>

export interface RunningLedger {
  /** Records that the worker stopped in order. */
  close(): Promise<void>
}

/** Pauses submitting where START_PAUSED is set. Every start calls this function before any submission is possible. */
export async function pauseIfTold({ config, database, log }: AppContext): Promise<void> {
  if (config.START_PAUSED) await pauseSubmitting({ database, log }, 'START_PAUSED is set')
}

/** Before a worker starts: pauses submitting when the database seems to be an older copy with waiting work; then keeps the marks. */
export async function startLedger(context: AppContext): Promise<RunningLedger> {
  const { database, log } = context
  await pauseIfTold(context)
  const { suspicion, row } = await examineLedger(context)
  if (suspicion !== null && row.waiting > 0) await pauseSubmitting(context, suspicion)
  else if (suspicion !== null) log.warn({ event: 'ledger.copied', detail: suspicion })
  await adoptLedger(database, row.id ?? randomUUID(), row.present)
  const stopping = new AbortController()
  const running = keepMarks(context, stopping.signal)
  return {
    async close() {
      stopping.abort()
      await running
      try {
        await withTimeout(beatLedger(database, BEAT_MS, true), ANSWER_TIMEOUT_MS, 'Postgres')
        await writeMarks(context, null)
      } catch (error) {
        log.warn({ event: 'ledger.mark_failed', err: error })
      }
    },
  }
}

/** The reason for suspecting an older copy, or null; changes nothing. */
export async function examineLedger(context: Pick<AppContext, 'config' | 'database' | 'backend'>) {
  const row = await readLedger(context.database)
  const marks: LedgerMark[] = []
  for (const [where, found] of await readMarks(context)) {
    if (found === null || found.ledger !== row.id) continue
    const isOld = row.nowMs - found.aliveAtMs > MARK_AGE_MAX_MS
    const has = found.submission === null || isOld || (await hasSubmission(context.database, found.submission))
    marks.push({ where, aliveAtMs: found.aliveAtMs, submission: found.submission, hasSubmission: has })
  }
  return { suspicion: ledgerSuspicion({ ...row, marks }), row }
}

async function pauseSubmitting({ database, log }: Pick<AppContext, 'database' | 'log'>, reason: string): Promise<void> {
  await setPaused(database, CONFIGURED.name, true, reason)
  await releaseAdmitted(database, CONFIGURED)
  log.warn({ event: 'submitting.paused', reason, fix: 'POST /admin/submitting/resume; see docs/restoring.md' })
  console.error(
    `Submitting is paused: ${reason}. Nothing is paid for until an operator sends POST /admin/submitting/resume (docs/restoring.md says what to look at before).`,
  )
}

async function keepMarks(context: AppContext, signal: AbortSignal): Promise<void> {
  let last: Mark | null = null
  while (!signal.aborted) {
    await pause(LOOK_MS, signal)
    try {
      await beatIfDue(context, last)
      last = await writeMarks(context, last)
    } catch (error) {
      if (!signal.aborted) context.log.warn({ event: 'ledger.mark_failed', err: error })
    }
  }
}

async function beatIfDue({ database }: AppContext, last: Mark | null): Promise<void> {
  if (last === null || Date.now() - last.aliveAtMs >= BEAT_MS) await beatLedger(database, BEAT_MS, false)
}

/** Writes the mark when the mark has changed since `last`. */
async function writeMarks({ config, database, backend, log }: AppContext, last: Mark | null): Promise<Mark | null> {
  const { id, aliveAtMs, submission } = await ledgerState(database)
  if (id === null || aliveAtMs === null) return null
  const next = { ledger: id, aliveAtMs, submission }
  const text = JSON.stringify(next)
  if (last !== null && JSON.stringify(last) === text) return last
  // Either place may be unreachable (a container without a folder of its own, Redis away): the other place is still written.
  const written = await Promise.allSettled([
    withTimeout(backend.notes?.write(`ledger:${id}`, text) ?? Promise.resolve(), ANSWER_TIMEOUT_MS, 'Redis'),
    writeFileMark(resolve(config.DATA_DIR), text),
  ])
  const failed = written.find((one) => one.status === 'rejected')
  if (failed && last === null) log.warn({ event: 'ledger.mark_failed', err: failed.reason })
  return next
}

/** Writes a draft and renames the draft: a crash leaves the previous file whole. */
async function writeFileMark(folder: string, text: string): Promise<void> {
  await makeDataDir(folder)
  const path = join(folder, FILE)
  const draft = `${path}.${process.pid}`
  await writeFile(draft, text, { mode: 0o600 })
  await rename(draft, path)
}

/** The marks outside the database; null for Redis while Redis is away. */
async function readMarks({
  config,
  database,
  backend,
}: Pick<AppContext, 'config' | 'database' | 'backend'>): Promise<[where: string, mark: Mark | null][]> {
  const path = join(resolve(config.DATA_DIR), FILE)
  const isThere = await stat(path).then(
    () => true,
    () => false,
  )
  const { id } = await ledgerState(database)
  const asked = backend.notes?.read(`ledger:${id}`) ?? Promise.resolve(null)
  const inRedis = await withTimeout(asked, ANSWER_TIMEOUT_MS, 'Redis').catch(() => null)
  return [
    [`the folder DATA_DIR (${FILE})`, isThere ? parse(await readFile(path, 'utf8')) : null],
    ['Redis', parse(inRedis)],
  ]
}

/** Null for a text that is not a mark: a truncated file, or a file of another program. */
function parse(text: string | null): Mark | null {
  try {
    return mark.safeParse(JSON.parse(text ?? 'null')).data ?? null
  } catch {
    return null
  }
}
