// The doctor at the start of a command: what is wrong ends it with the fix, what is merely bad becomes a line in the log.

import type { Finding } from '@reelqueue/shared/domain/finding'
import { migrationsFinding } from '@reelqueue/shared/domain/setting-findings'
import { type Config, required } from '@reelqueue/shared/runtime/config'
import type { Logger } from '@reelqueue/shared/runtime/log'
import { pendingMigrations } from '@reelqueue/shared/store/migrate'
import { UserError } from '../command.ts'
import { examine } from './examine.ts'
import { report } from './report.ts'

/** A start during a migration elsewhere waits for its end rather than to be started again and again. */
const MIGRATION_WAIT_MS = 300_000

/**
 * Looks at what a process is about to stand on.
 * @throws UserError listing what is wrong, each with its fix
 * @throws ConfigError when `DATABASE_URL` or `SECRET_KEY` is missing
 */
export async function refuseWrong(config: Config, log: Logger): Promise<void> {
  required(config, 'DATABASE_URL')
  required(config, 'SECRET_KEY')
  const { settings, postgres, redis, upstream } = examine(config, MIGRATION_WAIT_MS, (sentence) =>
    log.warn({ event: 'migration.waiting', detail: sentence }),
  )
  // Nothing that the provider says could stop a start, so none waits for it.
  upstream.then(
    (findings) => logFindings(findings, log),
    (error: unknown) => log.error({ event: 'doctor.failed', err: error }),
  )
  const findings = [...(await Promise.all([postgres, redis])).flat(), ...settings]
  refuse(findings)
  logFindings(findings, log)
}

/** For commands that need the tables and nothing else. @throws UserError when `npm run migrate` has to be run first */
export async function refuseOldTables(databaseUrl: string): Promise<void> {
  refuse([migrationsFinding(await pendingMigrations(databaseUrl, { onWait: console.error }), true)])
}

function refuse(findings: readonly Finding[]): void {
  const wrong = findings.filter(({ level }) => level === 'wrong')
  if (wrong.length > 0) throw new UserError(`Not started, because something is wrong:\n${report(wrong)}`)
}

function logFindings(findings: readonly Finding[], log: Logger): void {
  for (const { level, ...finding } of findings) {
    // `level` is the log's own word.
    if (level !== 'ok') log.warn({ event: 'doctor.finding', ...finding, verdict: level })
  }
}
