// A data folder belongs to a single Reelqueue: a file names the owning process. A pid alone proves nothing (after a crash or in a restarted
// container another process may have the same pid), so the file also holds the start time of the process.
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'

/**
 * Makes this process the owner; replaces a dead owner.
 * @returns a function that ends the ownership; or the pid of the live owner
 */
export async function claimOwnership(path: string): Promise<(() => Promise<void>) | number> {
  const mine = JSON.stringify({ pid: process.pid, identity: await processIdentity(process.pid) })
  for (;;) {
    if (await createWhole(path, mine)) return () => rm(path, { force: true })
    const seen = await readFile(path, 'utf8').catch(ifMissing(null))
    if (seen === null) continue
    const owner = parseOwner(seen)
    if (owner && (await processIdentity(owner.pid)) === owner.identity) return owner.pid
    await removeStale(path, seen)
  }
}

/**
 * Distinguishes a process from a later process with the same pid: an opaque text, constant during the life of the process; null when
 * the process does not run (a zombie does not).
 */
export async function processIdentity(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null)
    if (stat === null) return null
    // proc(5): the name in brackets may hold any characters; the state (field 3) … start time (field 22) follow.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null)
  }
  if (process.platform === 'win32') return exists(pid) ? 'running' : null
  const line = await ps(pid, 'stat=,lstart=')
  return line === '' || line.startsWith('Z') ? null : line.replace(/^\S+\s+/, '')
}

/** The arguments of a process, separated by spaces; empty when unknown or not running. */
export async function commandLine(pid: number): Promise<string> {
  if (process.platform === 'linux') {
    const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    return text.replaceAll('\0', ' ')
  }
  return process.platform === 'win32' ? '' : ps(pid, 'command=')
}

async function ps(pid: number, columns: string): Promise<string> {
  const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', columns, '-p', String(pid)]).catch(() => ({
    stdout: '',
  }))
  return stdout.trim()
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Creates the file with its content in one step, so that a reader never sees a partial file. False when the file exists. */
async function createWhole(path: string, content: string): Promise<boolean> {
  const draft = `${path}.${randomUUID()}`
  await writeFile(draft, content, { mode: 0o600 })
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  } finally {
    await rm(draft)
  }
}

/** Removes the file only while its content is still `staleContent`; a claim written in between is put back. */
async function removeStale(path: string, staleContent: string): Promise<void> {
  const grave = `${path}.${randomUUID()}`
  const moved = await rename(path, grave).then(() => true, ifMissing(false))
  if (!moved) return
  if ((await readFile(grave, 'utf8')) === staleContent) await rm(grave)
  else await rename(grave, path)
}

function parseOwner(text: string): { pid: number; identity: unknown } | null {
  try {
    const { pid, identity } = JSON.parse(text)
    return Number.isInteger(pid) && pid > 0 ? { pid, identity } : null
  } catch {
    return null
  }
}

function ifMissing<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (hasCode(error, 'ENOENT')) return value
    throw error
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
