import { describe, expect, test } from 'vitest'
import { type RedisFacts, redisFindings } from './redis-findings.ts'

const SOUND: RedisFacts = {
  product: 'Redis',
  version: '7.0.15',
  versionMin: '5.0.0',
  versionAdvised: '6.2.0',
  mode: 'standalone',
  mastersOfCluster: null,
  refused: [],
  memory: null,
  isReplica: false,
  isLoading: false,
  evictionPolicy: 'noeviction',
  persists: true,
}

function judge(change: Partial<RedisFacts>) {
  return redisFindings({ ...SOUND, ...change }).filter(({ level }) => level !== 'ok')
}

test('a sound Redis is ok in every respect', () => {
  expect(redisFindings(SOUND).map(({ check, level, fix }) => [check, level, fix])).toEqual([
    ['redis', 'ok', null],
    ['redis_commands', 'ok', null],
    ['redis_eviction', 'ok', null],
    ['redis_persistence', 'ok', null],
  ])
})

test('one that cannot be reached is down and no more is said: a start goes on without it', () => {
  expect(redisFindings({ unreachable: 'connect ECONNREFUSED' })).toEqual([
    {
      check: 'redis',
      level: 'down',
      detail: expect.stringContaining('ECONNREFUSED'),
      fix: expect.stringContaining('REDIS_URL'),
    },
  ])
})

test('one that is loading its data is down', () => {
  expect(judge({ isLoading: true })).toMatchObject([{ check: 'redis', level: 'down' }])
})

test('a replica is wrong, also while it loads', () => {
  const wrong = { check: 'redis', level: 'wrong', fix: expect.stringContaining('primary') }
  expect(judge({ isReplica: true })).toMatchObject([wrong])
  expect(judge({ isReplica: true, isLoading: true })).toMatchObject([wrong])
})

describe('the version', () => {
  test.each(['4.0.14', '4.9.9', '3'])('%s, below what BullMQ needs, is wrong', (version) => {
    expect(judge({ version })).toMatchObject([
      { check: 'redis', level: 'wrong', fix: expect.stringMatching(/upgrade/i) },
    ])
  })

  test.each(['5.0.0', '6.0.20', '6.1.999'])('%s, below what BullMQ advises, is a warning', (version) => {
    expect(judge({ version })).toMatchObject([{ check: 'redis', level: 'warning' }])
  })

  test.each(['6.2.0', '6.10.1', '7', '8.2.1', '10.0.0', '255.255.255'])('%s is ok', (version) => {
    expect(judge({ version })).toEqual([])
  })

  test("other products' numbers are not compared, and an unknown one is not held against it", () => {
    expect(judge({ product: 'Valkey', version: '1.0.0' })).toEqual([])
    expect(judge({ product: 'Dragonfly', version: 'df-v1.2.3' })).toEqual([])
    expect(judge({ version: null })).toEqual([])
  })
})

test.each(['allkeys-lru', 'allkeys-lfu', 'allkeys-random', 'volatile-lru', 'volatile-ttl', 'eviction'])(
  'the eviction policy %s is wrong, and the fix is a command',
  (evictionPolicy) => {
    expect(judge({ evictionPolicy })).toEqual([
      {
        check: 'redis_eviction',
        level: 'wrong',
        detail: expect.stringContaining(evictionPolicy),
        fix: expect.stringContaining('CONFIG SET maxmemory-policy noeviction'),
      },
    ])
  },
)

test('no persistence is a warning', () => {
  expect(judge({ persists: false })).toEqual([
    {
      check: 'redis_persistence',
      level: 'warning',
      detail: expect.stringContaining('nothing is lost'),
      fix: expect.stringContaining('appendonly yes'),
    },
  ])
})

test('what a managed Redis does not tell is no finding against it', () => {
  expect(judge({ evictionPolicy: null, persists: null })).toEqual([])
})

test('a Sentinel and a node of a Cluster are refused by name; a Cluster of one master is a single server', () => {
  const wrong = (detail: RegExp) => [{ check: 'redis', level: 'wrong', detail: expect.stringMatching(detail) }]
  expect(judge({ mode: 'sentinel' })).toMatchObject(wrong(/Sentinel/))
  expect(judge({ mode: 'cluster', mastersOfCluster: 3 })).toMatchObject(wrong(/Cluster of 3 masters/))
  expect(judge({ mode: 'cluster', mastersOfCluster: null })).toMatchObject(wrong(/Cluster/))
  const refused = [{ command: 'SET', error: 'MOVED 1 10.0.0.1:1' }]
  expect(judge({ mode: 'cluster', mastersOfCluster: 1, refused })).toMatchObject(wrong(/Cluster/))
  expect(judge({ mode: 'cluster', mastersOfCluster: 1 })).toEqual([])
})

test.each([
  ['NOPERM this user has no permissions', 'wrong', /ZADD/, /\+zadd/],
  ["ERR The user executing the script can't run this command or subcommand", 'wrong', /ZADD/, /\+zadd/],
  ['ERR Unknown Redis command called from script', 'wrong', /ZADD/, /rename-command/],
  ["OOM command not allowed when used memory > 'maxmemory'.", 'down', /memory is full/, /maxmemory/],
  ['MISCONF Redis is configured to save RDB snapshots', 'down', /disk/, /Free space/],
  ['what nobody has heard of', 'down', /ZADD/, /log/],
])('a command that is refused with "%s" is %s, with the fix', (error, level, detail, fix) => {
  expect(judge({ refused: [{ command: 'ZADD', error }] })).toEqual([
    { check: 'redis_commands', level, detail: expect.stringMatching(detail), fix: expect.stringMatching(fix) },
  ])
})

test('memory that is nearly full is a warning', () => {
  const memory = (usedBytes: number) => judge({ memory: { usedBytes, maxBytes: 100 * 2 ** 20 } })
  expect(memory(95 * 2 ** 20)).toMatchObject([
    { check: 'redis_commands', level: 'warning', fix: expect.stringContaining('maxmemory') },
  ])
  expect(memory(80 * 2 ** 20)).toEqual([])
})

test.each([
  ['wrong version number', /redis:\/\/ instead of rediss/],
  ['Connection is closed.', /rediss:\/\/ instead of redis/],
  ['WRONGPASS invalid username-password pair', /password in REDIS_URL/],
  ['self-signed certificate in certificate chain', /NODE_EXTRA_CA_CERTS/],
])('a Redis that cannot be used (%s) has its own fix', (unreachable, fix) => {
  expect(redisFindings({ unreachable })).toMatchObject([{ level: 'down', fix: expect.stringMatching(fix) }])
})
