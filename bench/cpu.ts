// The processor time of processes and their descendants, read from /proc, so on Linux only.

import { readdir, readFile } from 'node:fs/promises'

/** The unit of /proc: hundredths of a second. */
const TICKS_PER_S = 100

/** Seconds used so far by the processes and their descendants; null where there is no /proc. */
export async function cpuSeconds(pids: readonly number[]): Promise<number | null> {
  const names = await readdir('/proc').catch(() => [])
  const all = (await Promise.all(names.filter((name) => /^\d+$/.test(name)).map(statOf))).filter((one) => one !== null)
  if (all.length === 0) return null
  const counted = new Set(pids)
  // A parent may come after its child in the list: repeat until no descendant is added.
  for (let before = -1; before !== counted.size; ) {
    before = counted.size
    for (const { pid, parent } of all) if (counted.has(parent)) counted.add(pid)
  }
  return all.filter(({ pid }) => counted.has(pid)).reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_S
}

async function statOf(name: string): Promise<{ pid: number; parent: number; ticks: number } | null> {
  const text = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => null)
  if (text === null) return null
  // The program's name stands in parentheses, and may contain spaces.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number) => Number(fields[number - 3])
  // The process's own time, and the time of its ended children.
  return { pid: Number(name), parent: field(4), ticks: field(14) + field(15) + field(16) + field(17) }
}
