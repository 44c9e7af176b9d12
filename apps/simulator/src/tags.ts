// Reads the tags in a prompt, `[sim:NAME]` or `[sim:NAME=VALUE]`, anywhere and in any number. An unknown or malformed tag is an error:
// otherwise a misspelt tag would make a test that cannot fail.
import { type Behaviour, ID_KEYS, ID_STYLES, plainBehaviour, URL_KEYS } from './behaviour.ts'
import { readCount, readFault, readMillis, readScalar } from './faults.ts'
import { phasesFor } from './status-words.ts'

const TAG = /\[sim:([^\]=]*)(?:=([^\]]*))?\]/g
const PLAIN: Readonly<Behaviour> = plainBehaviour()

/** The behaviour requested by the prompt; `problem` names the first invalid tag. */
export function readTags(prompt: string): Readonly<Behaviour> | { readonly problem: string } {
  if (!prompt.includes('[sim:')) return PLAIN
  const behaviour = plainBehaviour()
  let tags = 0
  for (const [tag, name = '', value = null] of prompt.matchAll(TAG)) {
    if (!apply(behaviour, name, value) && !applyFault(behaviour, name, value)) {
      return { problem: `unknown or malformed simulator tag ${tag}` }
    }
    tags += 1
  }
  if (prompt.split('[sim:').length - 1 > tags) return { problem: 'a simulator tag is not closed' }
  return behaviour
}

/** Applies a tag about the task or the shape of answers; false for another tag or an invalid value. */
function apply(behaviour: Behaviour, name: string, value: string | null): boolean {
  switch (name) {
    case 'retryafter':
      behaviour.retryAfter = value === 'none' ? null : value
      return value !== null
    case 'notask':
      behaviour.leavesTask = false
      return value === null
    case 'render':
      behaviour.renderMs = readMillis(value)
      return behaviour.renderMs !== null
    case 'stuck':
      behaviour.stuck = true
      return value === null
    case 'fail':
    case 'failobject':
      behaviour.failure = value ?? 'simulated failure'
      behaviour.failsAtOnce = true
      behaviour.errorAsObject ||= name === 'failobject'
      return true
    case 'status':
      return applyStatus(behaviour, value)
    case 'id':
      behaviour.idKey = oneOf(ID_KEYS, value) ?? behaviour.idKey
      return behaviour.idKey === value
    case 'idstyle':
      behaviour.idStyle = oneOf(ID_STYLES, value) ?? behaviour.idStyle
      return behaviour.idStyle === value
    case 'url':
      behaviour.urlKey = oneOf(URL_KEYS, value) ?? behaviour.urlKey
      return behaviour.urlKey === value
    case 'nourl':
      behaviour.answersWithoutUrl = value === null ? Number.POSITIVE_INFINITY : (readCount(value) ?? 0)
      return behaviour.answersWithoutUrl > 0
    case 'signed':
      behaviour.signedForS = readCount(value ?? '3600')
      return behaviour.signedForS !== null
    case 'amount':
      behaviour.amount = readScalar(value ?? '0.8')
      return true
    case 'tokens':
      behaviour.totalTokens = readScalar(value ?? '108000')
      return true
    case 'wrap':
      behaviour.wrapCode = readScalar(value ?? '0')
      return true
    case 'nulls':
      behaviour.nulls = true
      return value === null
    case 'forgetdone':
      behaviour.forgottenOnceTold = true
      return value === null
    case 'life': {
      const lifeMs = readMillis(value)
      behaviour.lifeMs = lifeMs ?? behaviour.lifeMs
      return lifeMs !== null
    }
    case 'oddsize':
      behaviour.oddSize = true
      return value === null
    default:
      return false
  }
}

/** A failure word also makes the task fail, at the usual time; an unknown word is shown until the task ends. */
function applyStatus(behaviour: Behaviour, word: string | null): boolean {
  if (!word) return false
  for (const phase of phasesFor(word)) {
    behaviour.words[phase] = word
    if (phase === 'failed') behaviour.failure ??= 'simulated failure'
  }
  return true
}

/** Applies a tag that names a fault: `429=2` for create requests, `poll429=2` for polls. */
function applyFault(behaviour: Behaviour, name: string, value: string | null): boolean {
  const onPoll = name.startsWith('poll')
  const planned = name === 'forget' ? readFault('404', value) : readFault(onPoll ? name.slice(4) : name, value)
  if (planned === null) return false
  if (planned.fault.kind === 'slow') {
    if (onPoll) behaviour.pollDelayMs = planned.fault.delayMs
    else behaviour.createDelayMs = planned.fault.delayMs
  } else {
    const plan = onPoll || name === 'forget' ? behaviour.pollFaults : behaviour.createFaults
    plan.push(planned)
  }
  return true
}

function oneOf<T extends string>(known: readonly T[], value: string | null): T | undefined {
  return known.find((candidate) => candidate === value)
}
