// Whether Redis lets the queues work: the commands of BullMQ's scripts are tried on separate keys, deleted afterwards. A PING also succeeds
// on a full Redis, on a replica and without the permission to write.

import type { Redis } from 'ioredis'

export interface RefusedCommand {
  readonly command: string
  readonly error: string
}

/** In one hash slot, the slot of the queues. */
const KEYS = ['string', 'hash', 'list', 'other', 'set', 'sorted', 'stream'].map((type) => `{reelqueue}:trial:${type}`)
type Step = readonly [command: string, ...args: string[]]

/** The writes during a job's way through a queue. An argument of the form @N stands for the key with number N. */
const WRITES: readonly Step[] = [
  ['SET', '@1', '1', 'PX', '60000'],
  ['HSET', '@2', 'a', '1'],
  ['LPUSH', '@3', 'a'],
  ['RPOPLPUSH', '@3', '@4'],
  ['ZADD', '@6', '1', 'a'],
  ['ZPOPMIN', '@6'],
  ['XADD', '@7', 'MAXLEN', '1', '*', 'a', '1'],
]
/** Every command of BullMQ's scripts (6.7). */
const ALL: readonly Step[] = [
  ...WRITES,
  ['INCR', '@1'],
  ['INCRBY', '@1', '1'],
  ['GET', '@1'],
  ['EXISTS', '@1'],
  ['TYPE', '@1'],
  ['PTTL', '@1'],
  ['PEXPIRE', '@1', '60000'],
  ['PEXPIREAT', '@1', '99999999999999'],
  ['PERSIST', '@1'],
  ['HMSET', '@2', 'b', '1'],
  ['HGET', '@2', 'a'],
  ['HMGET', '@2', 'a'],
  ['HGETALL', '@2'],
  ['HEXISTS', '@2', 'a'],
  ['HLEN', '@2'],
  ['HINCRBY', '@2', 'a', '1'],
  ['HDEL', '@2', 'b'],
  ['RPUSH', '@4', 'b'],
  ['LSET', '@4', '0', 'a'],
  ['LLEN', '@4'],
  ['LINDEX', '@4', '0'],
  ['LRANGE', '@4', '0', '1'],
  ['LREM', '@4', '1', 'x'],
  ['LTRIM', '@4', '0', '9'],
  ['LPOP', '@4'],
  ['RPOP', '@4'],
  ['SADD', '@5', 'a'],
  ['SCARD', '@5'],
  ['SISMEMBER', '@5', 'a'],
  ['SMEMBERS', '@5'],
  ['SREM', '@5', 'b'],
  ['ZCARD', '@6'],
  ['ZCOUNT', '@6', '0', '1'],
  ['ZLEXCOUNT', '@6', '-', '+'],
  ['ZSCORE', '@6', 'a'],
  ['ZRANGE', '@6', '0', '1'],
  ['ZREVRANGE', '@6', '0', '1'],
  ['ZRANGEBYSCORE', '@6', '0', '1'],
  ['ZREVRANGEBYSCORE', '@6', '1', '0'],
  ['ZRANGEBYLEX', '@6', '-', '+'],
  ['ZREM', '@6', 'a'],
  ['ZREMRANGEBYRANK', '@6', '0', '0'],
  ['ZREMRANGEBYSCORE', '@6', '0', '1'],
  ['XTRIM', '@7', 'MAXLEN', '1'],
  ['XLEN', '@7'],
  ['XRANGE', '@7', '-', '+'],
  ['UNLINK', '@7'],
]

const SCRIPT = `
local refused = {}
for _, step in ipairs(cjson.decode(ARGV[1])) do
  local args = {}
  for i, arg in ipairs(step) do
    if i > 1 and string.sub(arg, 1, 1) == '@' then arg = KEYS[tonumber(string.sub(arg, 2))] end
    args[i] = arg
  end
  local reply = redis.pcall(unpack(args))
  if type(reply) == 'table' and reply.err then refused[#refused + 1] = {step[1], reply.err} end
end
local ended = redis.pcall('DEL', unpack(KEYS))
if type(ended) == 'table' and ended.err then refused[#refused + 1] = {'DEL', ended.err} end
return cjson.encode(refused)`

/** Commands that BullMQ sends outside scripts. */
const DIRECT: readonly Step[] = [
  // The script does not exist: the answer NOSCRIPT proves the permission.
  ['EVALSHA', '0'.repeat(40), '0'],
  ['BZPOPMIN', '{reelqueue}:trial:none', '0.01'],
  ['MULTI'],
  ['EXEC'],
]

/**
 * Tries every command needed by the queues, for the doctor.
 * @returns the refused commands; never throws for any answer of Redis
 */
export async function tryEverything(redis: Redis): Promise<RefusedCommand[]> {
  const refused: RefusedCommand[] = []
  const message = (error: unknown) => (error instanceof Error ? error.message : String(error))
  try {
    refused.push(...(await tryCommands(redis, true)))
  } catch (error) {
    refused.push({ command: 'EVAL', error: message(error) })
  }
  for (const [command, ...args] of DIRECT) {
    try {
      await redis.call(command, ...args)
    } catch (error) {
      const isAllowed = /^NOSCRIPT|EXEC without MULTI/.test(message(error))
      if (!isAllowed) refused.push({ command, error: message(error) })
    }
  }
  return refused
}

/**
 * Tries the writes during a job's way through a queue; with `everything`, each command needed by the queues.
 * @returns the refused commands
 * @throws Error when Redis does not answer, or refuses scripts entirely
 */
export async function tryCommands(redis: Redis, everything = false): Promise<RefusedCommand[]> {
  const steps = JSON.stringify(everything ? ALL : WRITES)
  const reply = JSON.parse(String(await redis.eval(SCRIPT, KEYS.length, ...KEYS, steps))) as unknown
  // cjson encodes an empty table as an object.
  if (!Array.isArray(reply)) return []
  return reply.map(([command, error]: [string, string]) => ({ command, error }))
}
