// Parameters allowed in DATABASE_URL. pg silently forwards unknown parameters, or lets parameters override our own settings: so every
// parameter is either honoured or refused by name.

/** Read by pg (`pg-connection-string`), with the meaning intended by the user. */
const HONOURED = [
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslnegotiation',
  'uselibpqcompat',
  'ssl',
  'host',
  'port',
]
const SSL_MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify']

const POOLS = 'Reelqueue opens its own pools and sets their limits: leave it out'
const SESSION = 'Reelqueue sets what a session is by itself: leave it out'
/** Parameters often copied from other programs, each with the fix. */
const REFUSED: Readonly<Record<string, string>> = {
  connection_limit: POOLS,
  pool_timeout: POOLS,
  connect_timeout: POOLS,
  socket_timeout: POOLS,
  pgbouncer: 'a pooler must be in session mode, and needs no parameter: leave it out',
  statement_cache_size: 'a pooler must be in session mode, and needs no parameter: leave it out',
  options: SESSION,
  search_path: SESSION,
  application_name: SESSION,
  client_encoding: SESSION,
  sslpassword: 'pg cannot open an encrypted key: name a key without a password in sslkey, and leave it out',
  sslaccept: 'write sslmode=verify-full (strict) or sslmode=no-verify (accept_invalid_certs) instead',
  sslidentity: 'write sslcert and sslkey (PEM files) instead',
  channel_binding: 'pg cannot require it: leave it out, and write sslmode=verify-full to be sure of the server',
  target_session_attrs: 'name one host that leads to the primary, and leave it out',
}

/** The fault in the parameters of a Postgres URL, with the fix and without any value; null when the parameters are right. */
export function postgresUrlProblem(text: string): string | null {
  const { searchParams, hostname } = new URL(text)
  if (hostname.includes(',') || (searchParams.get('host') ?? '').includes(','))
    return 'must name one host: give several servers one name that leads to the primary'
  for (const [name, value] of searchParams) {
    if (name === 'schema') {
      if (value === 'public') continue
      return 'must not have `schema`: tables are kept in the schema public; give Reelqueue a database of its own instead'
    }
    if (name === 'sslmode' && !SSL_MODES.includes(value)) return `has an unknown sslmode: use ${SSL_MODES.join(', ')}`
    if (!HONOURED.includes(name))
      return `must not have \`${name}\`: ${Object.hasOwn(REFUSED, name) ? REFUSED[name] : `Reelqueue knows ${HONOURED.join(', ')}`}`
  }
  return null
}
