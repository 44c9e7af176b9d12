// The purpose and the arguments of each command: printed and checked before anything is installed, imported or connected.

const text = { type: 'string' }
const flag = { type: 'boolean' }

/** `line` follows `npm run `; `words` is how many arguments without `--` a command takes; `others: true` leaves all arguments to a tool. */
export const COMMANDS = {
  demo: {
    line: 'demo -- [--once]',
    about: 'Starts everything on this machine with a simulated provider, and shows the progress of a batch of twelve.',
    options: { once: flag },
    details: ['--once   ends by itself when the batch has ended (exit code 0 when everything succeeded)'],
  },
  start: {
    line: 'start',
    about: 'The API and a worker in one process, on an embedded Postgres unless DATABASE_URL is set.',
  },
  'start-api': { line: 'start:api', about: 'The API alone. Needs DATABASE_URL and SECRET_KEY.' },
  'start-worker': { line: 'start:worker', about: 'A worker alone. Needs DATABASE_URL and SECRET_KEY.' },
  simulator: {
    line: 'simulator -- [--host 127.0.0.1] [--speed 1]',
    about: 'The simulated provider, on SIMULATOR_PORT.',
    options: { host: text, speed: text },
    details: ['--speed   how many times faster than the real provider the simulator renders'],
  },
  migrate: { line: 'migrate', about: 'Prepares or upgrades the database of DATABASE_URL. May be repeated.' },
  keys: {
    line: 'keys -- create | list | revoke KEY_ID | reseal | operator-password',
    about: 'Manages API keys and the password of the operator pages.',
    options: { project: text, name: text },
    words: 2,
    details: [
      'create [--project default] [--name NAME]   prints a new key, once',
      'list                                       shows all keys',
      'revoke KEY_ID                              the key is refused from then on',
      'reseal                                     encrypts every stored secret with SECRET_KEY, after a change of the key',
      'operator-password                          makes and prints a new password, once',
    ],
  },
  operators: {
    line: 'operators -- create NAME | list | disable NAME',
    about: 'Manages who may log in to the console, with which role.',
    options: { role: text, project: text, 'password-stdin': flag },
    words: 2,
    details: [
      'create NAME [--role viewer]   adds an operator, a viewer or a member, and prints a password, once',
      '  --project PROJECT           the project of a member: the only one that it reads',
      '  --password-stdin            the password is the first line of stdin, and is not printed',
      'list                          shows all operators',
      'disable NAME                  the operator cannot log in, and its sessions end',
    ],
  },
  doctor: {
    line: 'doctor',
    about: 'Checks everything that the configuration names, and says what to do. Changes nothing.',
  },
  build: {
    line: 'build',
    about: 'Bundles the commands of an installation: a start takes half of the CPU time. Repeat it after each update.',
  },
  test: {
    line: 'test -- [FILE …] [options of vitest run]',
    about: 'The whole test suite, or the files named.',
    others: true,
  },
  check: {
    line: 'check',
    about: 'Lints, checks types, looks for dead code, reads the comments, and checks the layout of SQL.',
  },
  chaos: {
    line: 'chaos -- [--minutes 10] [--seed N] [--backend redis|postgres|both] [--generations N] [--kills N]',
    about: 'A storm of faults on real processes.',
    options: { minutes: text, seed: text, backend: text, generations: text, kills: text },
  },
  bench: {
    line: 'bench -- [--full] [--postgres WHICH] [--json FILE] [--lines N] [--plans N] [--admission] [--deliveries] [--cancel N] [--polling [--plot FILE]]',
    about: 'Compares Reelqueue with a plain pipeline.',
    options: {
      admission: flag,
      cancel: text,
      deliveries: flag,
      full: flag,
      postgres: text,
      json: text,
      lines: text,
      plans: text,
      polling: flag,
      plot: text,
    },
    details: [
      '--full          the sizes of docs/performance.md: about half an hour',
      '--postgres X    another Postgres: embedded:14 to embedded:18, or the folder of the binaries of an installed server',
      '--json FILE     where the numbers go (default bench.json)',
      '--lines N       only: ingest N lines, 100 to 50000',
      '--admission     only: one run of admission where 10,000 projects wait, and behind a batch that is being cancelled',
      '--cancel N      only: cancel a batch of N with 50 endpoints beside another project, 100 to 50000',
      '--deliveries    only: a million pending deliveries to 10,000 dead servers',
      '--plans N       only: the plans of the hot statements on N generations, 10000 to 10000000',
      '--polling       only: the simulation of polling; with --plot, the picture of docs/polling.md',
    ],
  },
  migration: {
    line: 'migration -- NAME',
    about: 'Writes a migration from prisma/schema.prisma. NAME is made of a-z, 0-9 and _.',
    words: 1,
  },
  docs: { line: 'docs', about: 'Writes the generated documents.' },
}

/** The usage of one command, or of all commands for an unknown name. */
export function usageOf(name) {
  const command = COMMANDS[name]
  if (command === undefined) {
    const lines = Object.values(COMMANDS).map(
      ({ line, about }) => `  npm run ${line.split(' ')[0].padEnd(14)} ${about}`,
    )
    return `Commands (each with -- --help):\n${lines.join('\n')}`
  }
  const { line, about, details = [] } = command
  return [`Usage: npm run ${line}`, about, ...details.map((detail) => `  ${detail}`)].join('\n')
}

/** @returns 'help', null when the arguments are valid, or a sentence with the fault */
export function checkWords(name, words, parseArgs) {
  const command = COMMANDS[name]
  if (command === undefined) {
    if (['', '--help', '-h', 'help'].includes(name)) return 'help'
    return `There is no command ${JSON.stringify(name)}.`
  }
  if (words.includes('--help') || words.includes('-h')) return 'help'
  if (command.others) return null
  try {
    const { positionals } = parseArgs({ args: words, options: command.options ?? {}, allowPositionals: true })
    const extra = positionals[command.words ?? 0]
    return extra === undefined ? null : `npm run ${command.line.split(' ')[0]} takes no word ${JSON.stringify(extra)}.`
  } catch (error) {
    return `${error.message.split('. ')[0]}.`
  }
}
