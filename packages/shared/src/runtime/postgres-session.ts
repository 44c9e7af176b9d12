// The settings of a session on Postgres. Postgres takes the defaults of a session from its configuration file, the database and the user:
// each default that changes a result or the speed is set here, on every connection of Reelqueue.
// SET statements run after connecting, because poolers refuse or drop startup parameters.

/** Only settings that an ordinary user may change in Postgres 14 and newer. */
const SETTINGS = {
  // @prisma/adapter-pg 7.10 relabels the offset of every timestamp as +00:00, so the zone must be UTC.
  TimeZone: "'UTC'",
  DateStyle: "'ISO, MDY'",
  IntervalStyle: "'postgres'",
  bytea_output: "'hex'",
  extra_float_digits: '1',
  client_encoding: "'UTF8'",
  client_min_messages: "'notice'",
  // The meaning of text in SQL.
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  transform_null_equals: 'off',
  quote_all_identifiers: 'off',
  // The visibility and the time limits of a statement. The pools set their own limits after these.
  default_transaction_isolation: "'read committed'",
  default_transaction_deferrable: 'off',
  row_security: 'on',
  gin_fuzzy_search_limit: '0',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  // Before version 18 Postgres adds 1e10 to the cost of a plan with a disabled node type, and compiles every plan of such a cost: with jit
  // each such statement takes from 0.25 s to seconds.
  jit: 'off',
  // Short statements gain nothing from parallel workers.
  max_parallel_workers_per_gather: '0',
  plan_cache_mode: "'auto'",
  enable_indexscan: 'on',
  enable_indexonlyscan: 'on',
  enable_seqscan: 'on',
  enable_bitmapscan: 'on',
  enable_nestloop: 'on',
  enable_hashjoin: 'on',
  enable_mergejoin: 'on',
  enable_sort: 'on',
  enable_material: 'on',
  enable_hashagg: 'on',
} as const

/** Known since versions 14 and 17. An older server must get as far as the version check of the doctor. */
const LATER_TIMEOUTS = ['idle_session_timeout', 'transaction_timeout']

/** The schema of Reelqueue's tables. Prisma names this schema in each statement. */
export const TABLES_SCHEMA = 'public'

/**
 * The statements that configure a session, in one round trip. `default_transaction_read_only` is absent on purpose: an administrator or
 * a full disk makes a database read-only deliberately, and the doctor reports the fact.
 * @param schema where names without a schema are looked up
 */
export function sessionOf(schema: string): string {
  const settings = Object.entries({ ...SETTINGS, search_path: `"${schema}"` }).map(
    ([name, value]) => `SET ${name} = ${value}`,
  )
  const timeouts = LATER_TIMEOUTS.map(
    (name) => `SELECT set_config('${name}', '0', false) WHERE current_setting('${name}', true) IS NOT NULL`,
  )
  return [...settings, ...timeouts].join('; ')
}
