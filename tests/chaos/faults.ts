// The faults of a storm and their times: one plan, drawn from the seed before the storm starts. Faults of servers come one after another;
// kills of processes come independently.

import { pause } from '@reelqueue/shared/runtime/clock'
import { FORMS } from '@reelqueue/simulator/forms'
import type { Dice } from './dice.ts'
import { OVERTIME } from './options.ts'
import type { PostgresServer } from './postgres-server.ts'
import type { Provider } from './provider.ts'
import type { Receiver } from './receiver.ts'
import { lasting, type RedisServer } from './redis-server.ts'
import type { Supervisor } from './supervisor.ts'

export interface Surroundings {
  readonly postgres: PostgresServer
  /** Null: the queues are in Postgres. */
  readonly redis: RedisServer | null
  readonly provider: Provider
  readonly receiver: Receiver
  readonly supervisor: Supervisor
}

type Inflict = (surroundings: Surroundings, ms: number, dice: Dice) => Promise<void>

const FAULTS: Readonly<Record<string, readonly [weight: number, maxMs: number, Inflict]>> = {
  'postgres restarted': [2, 0, ({ postgres }) => postgres.restart()],
  'postgres crashed': [2, 0, ({ postgres }) => postgres.crash()],
  'postgres cut off': [2, 3_000, ({ postgres }, ms) => cutFor(postgres, ms)],
  'provider cut off': [2, 3_000, ({ provider }, ms) => cutFor(provider, ms)],
  'provider hangs': [1, 0, ({ provider }) => provider.arm('create', 'hang', 2)],
  'provider resets': [1, 0, ({ provider }) => provider.arm('create', 'reset', 2)],
  'provider answers 503': [1, 0, ({ provider }) => provider.arm('create', '503', 2)],
  'provider lies': [1, 0, ({ provider }, _ms, dice) => provider.arm('create', dice.pick(['html', 'noid', 'empty']), 2)],
  'provider down behind its CDN': [
    2,
    3_000,
    ({ provider }, ms, dice) => armFor(provider, dice.pick(['cdn=521', 'cdn=523', '521', '502']), ms),
  ],
  'provider refuses all alike': [
    2,
    3_000,
    ({ provider }, ms, dice) =>
      armFor(provider, dice.pick(['page=404', 'refuse=400,the plan has ended', 'reject=1001,no such plan']), ms),
  ],
  'provider refuses the account': [
    2,
    3_000,
    ({ provider }, ms, dice) =>
      armFor(
        provider,
        dice.pick(['reject=4001,Not enough credits', 'refuse=429,insufficient_quota', 'refuse=400,Account in arrears']),
        ms,
      ),
  ],
  'provider answers oddly': [2, 3_000, ({ provider }, ms, dice) => armFor(provider, dice.pick(FORMS), ms)],
  'polls answered 401': [
    1,
    5_000,
    async ({ provider }, ms) => {
      await provider.arm('poll', '401', null)
      await lasting(ms)
      await provider.endFaults()
    },
  ],
  'polls fail': [
    1,
    0,
    ({ provider }, _ms, dice) => provider.arm('poll', dice.pick(['500', '404', 'reset', 'html']), 30),
  ],
  'receiver fails': [
    2,
    5_000,
    async ({ receiver }, ms) => {
      receiver.misbehave(0.8)
      await lasting(ms)
      receiver.misbehave(USUAL_MISBEHAVIOUR)
    },
  ],
  'worker frozen': [2, 8_000, ({ supervisor }, ms) => supervisor.freeze(ms)],
}

const REDIS_FAULTS: typeof FAULTS = {
  'redis flushed': [3, 0, ({ redis }) => redis?.flush() ?? Promise.resolve()],
  'redis restarted empty': [2, 3_000, ({ redis }, ms) => redis?.crash(ms, true) ?? Promise.resolve()],
  'redis crashed': [2, 3_000, ({ redis }, ms) => redis?.crash(ms, false) ?? Promise.resolve()],
  'redis paused': [2, 6_000, ({ redis }, ms) => redis?.pause(ms) ?? Promise.resolve()],
  'redis cut off': [2, 4_000, ({ redis }, ms) => (redis ? cutFor(redis, ms) : Promise.resolve())],
}

const POSTGRES_FAULTS: typeof FAULTS = { 'queues wiped': [4, 0, ({ postgres }) => postgres.wipeQueues()] }

/** The share of webhooks that the receiver fails even without a fault. */
export const USUAL_MISBEHAVIOUR = 0.05

/** Answers every create request, and every poll, with this fault for `ms`. */
async function armFor(provider: Provider, fault: string, ms: number): Promise<void> {
  await provider.arm('create', fault, null)
  await provider.arm('poll', fault, null)
  await lasting(ms)
  await provider.endFaults()
}

async function cutFor({ relay }: Pick<Provider, 'relay'>, ms: number): Promise<void> {
  await relay.cut()
  await lasting(ms)
  await relay.mend()
}

export interface Storm {
  /** In sequence; `afterMs` is the quiet time before each fault. */
  readonly faults: readonly { readonly afterMs: number; readonly name: string; readonly forMs: number }[]
  readonly kills: readonly { readonly afterMs: number; readonly role: 'api' | 'worker' }[]
}

/** The average quiet time before a fault of a server. */
const QUIET_MS = 6_000
/** Required progress of the app since the last fault, in sent requests; without this rule a slow machine would make no progress. */
const PROGRESS_MIN = 5
/** How many times a fault waits for the progress: 20 s in total. */
const PROGRESS_WAITS = 100
const PROGRESS_WAIT_MS = 200

/** A plan for `stormMs` and its overtime. @param kills how many processes are killed at random moments of `stormMs` */
export function planStorm(dice: Dice, isRedis: boolean, stormMs: number, kills: number): Storm {
  const known = Object.entries({ ...FAULTS, ...(isRedis ? REDIS_FAULTS : POSTGRES_FAULTS) })
  const times = (count: number) => Array.from({ length: Math.ceil(count * OVERTIME) })
  return {
    faults: times(stormMs / QUIET_MS).map(() => {
      const [name, maxMs] = dice.weighted(known.map(([one, [weight, ms]]) => [weight, [one, ms]] as const))
      return {
        afterMs: dice.whole(QUIET_MS / 2, (QUIET_MS * 3) / 2),
        name,
        forMs: dice.whole(300, Math.max(300, maxMs)),
      }
    }),
    kills: times(kills).map(() => ({
      afterMs: dice.whole(0, Math.round((2 * stormMs) / kills)),
      role: dice.weighted([
        [7, 'worker'],
        [1, 'api'],
      ] as const),
    })),
  }
}

/** Carries out the plan until `signal` aborts; a fault already begun still ends. @returns how often each fault came */
export async function rage(
  storm: Storm,
  surroundings: Surroundings,
  dice: Dice,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const { provider, receiver, supervisor } = surroundings
  const progress = () => provider.requests() + receiver.receipts.length
  const quiet = async (ms: number) => {
    const wanted = progress() + PROGRESS_MIN
    await pause(ms, signal)
    for (let waits = 0; waits < PROGRESS_WAITS && progress() < wanted && !signal.aborted; waits++)
      await pause(PROGRESS_WAIT_MS, signal)
  }
  const came = new Map<string, number>()
  const known = { ...FAULTS, ...REDIS_FAULTS, ...POSTGRES_FAULTS }
  await Promise.all([
    (async () => {
      for (const { afterMs, name, forMs } of storm.faults) {
        await quiet(afterMs)
        if (signal.aborted) return
        await known[name]?.[2](surroundings, forMs, dice)
        came.set(name, (came.get(name) ?? 0) + 1)
      }
    })(),
    (async () => {
      for (const { afterMs, role } of storm.kills) {
        await quiet(afterMs)
        if (signal.aborted) return
        supervisor.kill(role)
      }
    })(),
  ])
  return came
}
