// `npm run operators -- create|list|disable`: who may log in to the console, also where no operator can log in any more.

import { userInfo } from 'node:os'
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { ROLES, type Role } from '@reelqueue/contract/terms/roles'
import { operatorName, PASSWORD_CHARS_MIN } from '@reelqueue/contract/wire/operator/session'
import { prepareDatabase } from '@reelqueue/shared/migrate/prepare-database'
import { loadConfig, required } from '@reelqueue/shared/runtime/config'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { type Database, openDatabase } from '@reelqueue/shared/store/database'
import { type Actor, audited } from '@reelqueue/shared/store/operator/audit'
import {
  changeOperator,
  createOperator,
  findOperator,
  listOperators,
  type Operator,
} from '@reelqueue/shared/store/operator/operators'
import { hashPassword, newPassword } from '@reelqueue/shared/store/operator/password'
import { findProjectId } from '@reelqueue/shared/store/projects'
import { runToEnd, UserError } from './command.ts'
import { refuseOldTables } from './doctor/refuse.ts'
import { joinEmbedded } from './embedded.ts'

const USAGE = `Usage:
  npm run operators -- create NAME [--role viewer] [--project PROJECT] [--password-stdin]
  npm run operators -- list
  npm run operators -- disable NAME`

const PAGE = 100

await runToEnd(async (stops) => {
  const given = loadConfig()
  const { positionals, values } = parseWords()
  const [action = '', name] = positionals
  if (action !== 'list' && !(['create', 'disable'].includes(action) && name !== undefined)) throw new UserError(USAGE)
  const password = action === 'create' && values['password-stdin'] ? await readPassword() : null
  const { config } = await joinEmbedded(given, createLogger('silent'), stops)
  const databaseUrl = required(config, 'DATABASE_URL')
  // An embedded database is prepared; a database named by the user might be the wrong database, and is only checked.
  if (given.DATABASE_URL === undefined) await prepareDatabase(databaseUrl)
  else await refuseOldTables(databaseUrl)
  stops.stopping.throwIfAborted()
  const database = openDatabase(databaseUrl, (error) => console.error(error.message))
  stops.push(() => database.close())
  if (name === undefined) await list(database)
  else if (action === 'create') await create(database, name, values.role, values.project, password)
  else await disable(database, name)
})

function parseWords() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        role: { type: 'string', default: 'viewer' },
        project: { type: 'string' },
        'password-stdin': { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UserError(`${error instanceof Error ? error.message : error}\n${USAGE}`)
  }
}

/** The first line: `echo` and files end with a line break. */
async function readPassword(): Promise<string> {
  const [password = ''] = (await text(process.stdin)).split(/\r?\n/, 1)
  if (password.length < PASSWORD_CHARS_MIN)
    throw new UserError(`A password has ${PASSWORD_CHARS_MIN} characters or more; stdin has ${password.length}.`)
  return password
}

/** The command needs no login: the audit names the user of the machine. */
function actor(): Actor {
  return { name: userName(), via: 'command', address: null, requestId: null }
}

function userName(): string {
  try {
    return `command (${userInfo().username})`
  } catch {
    // A user id of a container may have no name.
    return 'command'
  }
}

async function create(
  database: Database,
  name: string,
  role: string,
  projectName: string | undefined,
  given: string | null,
): Promise<void> {
  if (!operatorName.safeParse(name).success)
    throw new UserError(`${JSON.stringify(name)} cannot be the name of an operator: choose another.`)
  if (!isRole(role)) throw new UserError(`The role ${JSON.stringify(role)} is unknown: ${ROLES.join(', ')}.`)
  if ((role === 'member') !== (projectName !== undefined))
    throw new UserError('A member needs --project NAME, and no other role has a project.')
  const projectId = projectName === undefined ? null : await findProjectId(database, projectName)
  if (projectName !== undefined && projectId === null) throw new UserError(`There is no project ${projectName}.`)
  const password = given ?? newPassword()
  const passwordHash = await hashPassword(password)
  const result = await audited(
    database,
    actor(),
    (within) => createOperator(within, { name, role, projectId, passwordHash }),
    (made) => {
      if (made.kind !== 'created') return null
      return { action: 'createOperator', subject: made.operator.id, projectId, changes: { name, role } }
    },
  )
  if (result.kind !== 'created') throw new UserError(`There is an operator ${name} already: npm run operators -- list`)
  console.log(`The ${role} ${name} may log in to the console.`)
  if (given === null) console.log(`The password, shown only once:\n${password}`)
}

function isRole(text: string): text is Role {
  return ROLES.some((role) => role === text)
}

async function list(database: Database): Promise<void> {
  const operators: Operator[] = []
  for (let page = await listOperators(database, PAGE); page.length > 0; ) {
    operators.push(...page)
    page = page.length < PAGE ? [] : await listOperators(database, PAGE, page.at(-1)?.id)
  }
  if (operators.length === 0) console.log('There are no operators yet: npm run operators -- create NAME')
  else
    console.table(
      operators.map(({ id, name, role, projectId, createdAt, disabledAt }) => ({
        id,
        name,
        role,
        project: projectId ?? '',
        created: createdAt.toISOString(),
        disabled: disabledAt?.toISOString() ?? '',
      })),
    )
}

async function disable(database: Database, name: string): Promise<void> {
  const operator = await findOperator(database, name)
  if (operator === null) throw new UserError(`There is no operator ${name}: npm run operators -- list`)
  const result = await audited(
    database,
    actor(),
    (within) => changeOperator(within, operator.id, { disabled: true }),
    (done) => {
      if (done.kind !== 'changed') return null
      const { id: subject, projectId } = done.operator
      const changes = { name: done.operator.name, disabled: true, sessions_ended: done.sessionsEnded }
      return { action: 'changeOperator', subject, projectId, changes }
    },
  )
  if (result.kind !== 'changed') throw new Error(`the operator ${name} could not be disabled: ${result.kind}`)
  console.log(`${operator.name} cannot log in any more, and ${result.sessionsEnded} sessions were ended.`)
}
