// Loaded before a command (`--import`): the module whose URL ends with HOLD_LOADING is announced and never loaded, so that a signal
// meets the command before it has its own answer to one.

import { register } from 'node:module'

const { HOLD_LOADING: held } = process.env
const hook = `
import { writeSync } from 'node:fs'
export async function load(url, context, next) {
  if (!url.split('?')[0].endsWith(${JSON.stringify(held)})) return next(url, context)
  writeSync(2, 'holding ' + url + '\\n')
  await new Promise((resolve) => setTimeout(resolve, 2 ** 31 - 1))
}`
register(`data:text/javascript,${encodeURIComponent(hook)}`)
