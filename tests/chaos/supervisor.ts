// Keeps the processes of a chaos run going, like a process manager: a dead process is started again. The supervisor knows the reason for
// each death, so a process that ends without a known reason is detected.

import { readFileSync } from 'node:fs'
import type { Entries } from './bundle.ts'
import { type CrashPoint, MINE_STRUCK, WORKER_POINTS } from './crash-points.ts'
import type { Dice } from './dice.ts'
import { type AppProcess, type Env, type Mine, type Role, startProcess } from './processes.ts'
import { lasting } from './redis-server.ts'

export interface Life {
  readonly name: string
  readonly role: Role
  readonly logFile: string
  /** The crash point that ended the process. */
  readonly point: CrashPoint | null
  /** `stuck`: the process was asked to stop, and finally had to be killed. */
  readonly endedBy: 'mine' | 'kill' | 'stop' | 'stuck' | 'itself'
  readonly exit: number | NodeJS.Signals
  /** Whether the process had begun to work. */
  readonly atWork: boolean
  readonly endedAtMs: number
}

export interface Supervisor {
  /** Every process that has ended. */
  readonly lives: readonly Life[]
  /** Kills a working process of this role, at any moment of its work. */
  kill(role: Role): void
  /** Stops a worker from running for a while, at any moment of its work. */
  freeze(ms: number): Promise<void>
  /** From now on no process dies; processes with a crash point are replaced. */
  calm(): Promise<void>
  /** Stops every process in order. */
  close(): Promise<void>
}

export interface SupervisorOptions {
  readonly entries: Entries
  readonly dice: Dice
  readonly folder: string
  readonly env: Env
  readonly workers: number
  readonly apiPorts: readonly number[]
  /** Whether a further process may get a crash point, after `killed` kills. */
  readonly mayMine: (killed: number) => boolean
}

const RESTART_MS = 200
/** Well above the app's own bound. */
const STOP_MAX_MS = 90_000
const MINED_SHARE = 0.85
const API_MINED_SHARE = 0.2

export function createSupervisor(options: SupervisorOptions): Supervisor {
  const { dice, entries, folder, env, workers, apiPorts, mayMine } = options
  const lives: Life[] = []
  const running = new Map<string, AppProcess>()
  const reasons = new Map<AppProcess, 'kill' | 'stop' | 'stuck'>()
  let calm = false
  let closing = false
  let count = 0

  function mineFor(role: Role): Mine | null {
    const share = role === 'api' ? API_MINED_SHARE : MINED_SHARE
    if (calm || !dice.chance(share) || !mayMine(lives.filter((life) => life.exit === 'SIGKILL').length)) return null
    if (role === 'api') {
      return dice.chance(0.7)
        ? { point: 'accept.committed', at: dice.whole(1, 15) }
        : { point: 'accept.transacted', at: dice.whole(1, 3) }
    }
    return { point: dice.pick(WORKER_POINTS), at: dice.whole(1, 4) }
  }

  async function keep(slot: string, role: Role, more: Env): Promise<void> {
    while (!closing) {
      const name = `${slot}-${++count}`
      const started = startProcess({ role, entries, name, folder, env: { ...env, ...more }, mine: mineFor(role) })
      running.set(slot, started)
      const exit = await started.ended
      const { logFile } = started
      // A process asked to stop may still reach its crash point.
      const mined = hasLogged(started, MINE_STRUCK)
      lives.push({
        name,
        role,
        logFile,
        point: mined ? (started.mine?.point ?? null) : null,
        endedBy: mined ? 'mine' : (reasons.get(started) ?? 'itself'),
        exit,
        atWork: isAtWork(started),
        endedAtMs: Date.now(),
      })
      await lasting(RESTART_MS)
    }
  }

  async function stop(one: AppProcess): Promise<void> {
    if (!isAlive(one)) return
    reasons.set(one, reasons.get(one) ?? 'stop')
    const tooLate = setTimeout(() => {
      reasons.set(one, 'stuck')
      one.child.kill('SIGKILL')
    }, STOP_MAX_MS)
    await one.end('SIGTERM')
    clearTimeout(tooLate)
  }

  const slots = [
    ...Array.from({ length: workers }, (_, index) => keep(`worker${index + 1}`, 'worker', {})),
    ...apiPorts.map((port, index) => keep(`api${index + 1}`, 'api', { PORT: String(port) })),
  ]
  const oneOf = (role: Role) => {
    const alive = [...running.values()].filter((one) => one.role === role && isAlive(one) && isAtWork(one))
    return alive.length === 0 ? null : dice.pick(alive)
  }
  return {
    lives,
    kill(role) {
      const victim = oneOf(role)
      if (victim === null) return
      reasons.set(victim, 'kill')
      victim.child.kill('SIGKILL')
    },
    async freeze(ms) {
      const victim = oneOf('worker')
      victim?.child.kill('SIGSTOP')
      await lasting(ms)
      victim?.child.kill('SIGCONT')
    },
    async calm() {
      calm = true
      await Promise.all([...running.values()].filter((one) => one.mine !== null).map(stop))
    },
    async close() {
      closing = true
      await Promise.all([...running.values()].map(stop))
      await Promise.all(slots)
    },
  }
}

function isAlive({ child }: AppProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

/** Whether the process has logged the beginning of its work. */
function isAtWork(one: AppProcess): boolean {
  return hasLogged(one, `"event":"${one.role}.started"`)
}

function hasLogged({ logFile }: AppProcess, text: string): boolean {
  return readFileSync(logFile, 'utf8').includes(text)
}
