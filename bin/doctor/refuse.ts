// The doctor at the start of a command: a wrong finding ends the command with the fix, a lesser finding becomes a line in the log.

import type { Finding } from '@reelqueue/shared/doctor/finding'
import { migrationsFinding } from '@reelqueue/shared/doctor/setting-findings'
import { pendingMigrations } from '@reelqueue/shared/migrate/migrate'
import { type Config, required } from '@reelqueue/shared/runtime/config'
import type { Logger } from '@reelqueue/shared/runtime/log'
import { UserError } from '../command.ts'
import { examine } from './examine.ts'
import { report } from './report.ts'

/** A start during a migration by another process waits for the end of the migration, instead of failing again and again. */
const MIGRATION_WAIT_MS = 300_000

/**
 * Examines the servers and settings needed by a process.
 * @throws UserError listing the wrong findings, each with its fix
 * @throws ConfigError when `DATABASE_URL` or `SECRET_KEY` is missing
 */
export async function refuseWrong(config: Config, log: Logger): Promise<void> {
  required(config, 'DATABASE_URL')
  required(config, 'SECRET_KEY')
  const { settings, postgres, redis, upstream } = examine(config, MIGRATION_WAIT_MS, (sentence) =>
    log.warn({ event: 'migration.waiting', detail: sentence }),
  )
  // No answer of the provider can stop a start, so the start does not wait for the answer.
  upstream.then(
    (findings) => logFindings(findings, log),
    (error: unknown) => log.error({ event: 'doctor.failed', err: error }),
  )
  const findings = [...(await Promise.all([postgres, redis])).flat(), ...settings]
  refuse(findings)
  logFindings(findings, log)
}

/** For commands that need only the tables. @throws UserError when `npm run migrate` has to run first */
export async function refuseOldTables(databaseUrl: string): Promise<void> {
  refuse([migrationsFinding(await pendingMigrations(databaseUrl, { onWait: console.error }), true)])
}

function refuse(findings: readonly Finding[]): void {
  const wrong = findings.filter(({ level }) => level === 'wrong')
  if (wrong.length > 0) throw new UserError(`Not started, because something is wrong:\n${report(wrong)}`)
}

function logFindings(findings: readonly Finding[], log: Logger): void {
  for (const { level, ...finding } of findings) {
    // `level` is a field of the log itself.
    if (level !== 'ok') log.warn({ event: 'doctor.finding', ...finding, result: level })
  }
}
