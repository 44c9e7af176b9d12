// The operator's password when no password is configured, and the wrong guesses, for all API processes together.

import type { GuessLimit } from '../../domain/login-guess.ts'
import type { Database } from '../database.ts'
import { sql } from '../sql.ts'

export interface StoredLogin {
  /** SHA-256 of the password, hex; null when no password exists. */
  readonly hash: string | null
  /**
   * How long no password is compared, because of guesses from this address and because of all guesses; null: no wait.
   */
  readonly addressWaitMs: number | null
  readonly nameWaitMs: number | null
}

/** The data that a login is checked against, and the wait if there is one. */
export async function readLogin({ prisma }: Database, addressKey: string, nameKey: string): Promise<StoredLogin> {
  const [row] = await prisma.$queryRaw<StoredLogin[]>(sql.named('readLogin')`
    SELECT (SELECT hash FROM operator_passwords WHERE id = 1) AS hash,
      (
        SELECT (extract(epoch FROM blocked_until - now()) * 1000)::float8
        FROM login_guesses
        WHERE key = ${addressKey} AND blocked_until > now()
      ) AS "addressWaitMs",
      (
        SELECT (extract(epoch FROM blocked_until - now()) * 1000)::float8
        FROM login_guesses
        WHERE key = ${nameKey} AND blocked_until > now()
      ) AS "nameWaitMs"`)
  return row ?? { hash: null, addressWaitMs: null, nameWaitMs: null }
}

/**
 * Counts a wrong password. Concurrent guesses are counted one after another.
 * @returns the wait in ms that begins with this guess (0: none); null when an earlier guess made this guess wait: then
 * this guess is not counted, and must not have been answered
 */
export async function countWrong({ prisma }: Database, key: string, limit: GuessLimit): Promise<number | null> {
  const { waitsMs, purgedAfterMs } = limit
  const [counted] = await prisma.$queryRaw<{ waitMs: number }[]>(sql.named('countWrongGuess')`
    INSERT INTO login_guesses AS known (key)
    VALUES (${key})
    ON CONFLICT (key) DO UPDATE
    SET wrong = CASE
        WHEN known.changed_at < now() - ${purgedAfterMs} * interval '1 ms' THEN 1
        ELSE known.wrong + 1
      END,
      blocked_until = CASE
        WHEN known.changed_at < now() - ${purgedAfterMs} * interval '1 ms' THEN NULL
        ELSE now()
          + nullif(
            (${waitsMs}::float8[])[least(known.wrong + 1, ${waitsMs.length}::int)], 0
          ) * interval '1 ms'
      END,
      changed_at = now()
    WHERE known.blocked_until IS NULL OR known.blocked_until <= now()
    RETURNING coalesce(extract(epoch FROM blocked_until - now()) * 1000, 0)::float8 AS "waitMs"`)
  return counted?.waitMs ?? null
}

/** Deletes guesses that are older than every limit's memory. */
export async function purgeGuesses({ prisma }: Database, olderThanMs: number): Promise<void> {
  await prisma.$executeRaw(sql.named('purgeGuesses')`
    DELETE FROM login_guesses
    WHERE key = ANY (
      ARRAY(
        SELECT key
        FROM login_guesses
        WHERE changed_at < now() - ${olderThanMs} * interval '1 ms'
          AND (blocked_until IS NULL OR blocked_until < now())
        LIMIT 1000
        FOR UPDATE SKIP LOCKED
      )
    )`)
}

/**
 * Stores the hash of a new password. Safe when several processes start at once: only one process stores its password.
 * @param replace whether an existing password is replaced
 * @returns false when a password exists and stays
 */
export async function storeOperatorPassword({ prisma }: Database, hash: string, replace: boolean): Promise<boolean> {
  const stored = await prisma.$executeRaw(sql.named('storeOperatorPassword')`
    INSERT INTO operator_passwords AS known (hash)
    VALUES (${hash})
    ON CONFLICT (id) DO UPDATE
    SET hash = excluded.hash, created_at = now()
    WHERE ${replace}`)
  return stored === 1
}
