// docs/configuration.md and .env.example: every environment variable, as described in runtime/config.ts.

import { VARIABLES } from '@reelqueue/shared/runtime/config'
import { code, page, table } from './markdown.ts'

interface Variable {
  readonly name: string
  readonly meaning: string
  /** As written in the environment; null when the variable is absent by default. */
  readonly preset: string | null
  /** In words; empty when any text is accepted. */
  readonly accepted: string
}

/** No variable with a rule accepts this value, so that the refusal shows the rule. */
const UNACCEPTABLE = '!'

function variables(): Variable[] {
  return Object.entries(VARIABLES).map(([name, schema]) => {
    const { data } = schema.safeParse(undefined)
    const rule = schema.safeParse(UNACCEPTABLE).error?.issues.at(-1)?.message ?? ''
    return {
      name,
      meaning: schema.description ?? '',
      preset: presetOf(data),
      accepted: rule.replace(/^must (be |have )?|^Invalid option: expected /, '').replaceAll('"', ''),
    }
  })
}

/** Lists and pairs are empty by default. */
function presetOf(data: unknown): string | null {
  return data === undefined || typeof data === 'object' ? null : String(data)
}

export function configurationPage(): string {
  return page(
    'Configuration',
    '`runtime/config.ts`',
    'All settings are environment variables, read and checked once at start: a wrong setting ends the process with a message that names the setting. An empty variable counts as absent. Times are in milliseconds.',
    table(
      ['Variable', 'Default', 'Meaning', 'Accepted'],
      variables().map(({ name, preset, meaning, accepted }) => [
        code(name),
        preset === null ? '–' : code(preset),
        meaning,
        accepted,
      ]),
    ),
    'API and workers of one installation share `DATABASE_URL`, `REDIS_URL`, `SECRET_KEY`, `UPSTREAM_API_KEY` and `UPSTREAM_MAX_IN_FLIGHT`: API and workers admit generations, and the limit holds over all processes together.',
    "`OPERATOR_PASSWORD` and `VIEWER_PASSWORD` open the operator pages, and the login of the console with any name that is no operator's; `npm run operators -- create NAME` adds logins with a password and a role of their own (operator, viewer, or member of one project).",
    '## Commands',
    '`npm run` lists the commands, and `-- --help` after a command shows its arguments. `npm run demo` uses free ports where the usual ports are taken, unless `PORT` or `SIMULATOR_PORT` names a port; the other commands say which setting to change.',
    table(
      ['Exit code', 'Meaning'],
      [
        ['0', 'The command succeeded, or a signal ended it while everything ran.'],
        [
          '1',
          'The command failed: the last lines say why, and what to do. Also after a second signal, and when a stop took too long.',
        ],
        ['2', 'An unknown argument or option.'],
        [
          '129, 130, 143',
          'SIGHUP, SIGINT (Ctrl-C) or SIGTERM ended the command before everything ran. Nothing is left running.',
        ],
      ],
    ),
  )
}

const WIDTH = 120

export function envExample(): string {
  const intro =
    'Every setting with its default. Docker Compose reads a copy of this file named .env by itself; before an npm command, load it into the shell: set -a; . ./.env; set +a'
  const settings = variables().map(({ name, preset, meaning }) => `${comment(meaning)}\n#${name}=${preset ?? ''}`)
  const compose = [
    `${comment('docker-compose.yml only: the passwords of its Postgres and Redis, letters and digits, to be chosen before the first start. Absent: made then. A volume of Postgres from before they were made has the password reelqueue.')}\n#POSTGRES_PASSWORD=\n#REDIS_PASSWORD=`,
    `${comment('docker-compose.yml only: how many workers it runs.')}\n#WORKERS=1`,
  ]
  return `${[comment(`Made by \`npm run docs\`. ${intro}`), ...settings, ...compose].join('\n\n')}\n`
}

/** The text as comment lines of limited width. */
function comment(words: string): string {
  const lines = ['#']
  for (const word of words.split(' ')) {
    const last = lines.at(-1) ?? ''
    if (last.length + 1 + word.length > WIDTH) lines.push(`# ${word}`)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines.join('\n')
}
