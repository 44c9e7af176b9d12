import { expect, test } from 'vitest'
import { explainRedisRefusal } from './redis-refusal.ts'

test.each([
  ["OOM command not allowed when used memory > 'maxmemory'.", /maxmemory/],
  ['MISCONF Redis is configured to save RDB snapshots', /disk/],
  ["NOPERM this user has no permissions to run the 'evalsha' command", /ACL SETUSER/],
  ["ERR The user executing the script can't run this command or subcommand", /ACL SETUSER/],
  ["READONLY You can't write against a read only replica.", /primary/],
  ['MASTERDOWN Link with MASTER is down', /primary/],
  ['MOVED 3999 10.0.0.1:6381', /Cluster/],
  ['CLUSTERDOWN Hash slot not served', /Cluster/],
  ['WRONGPASS invalid username-password pair', /password/],
  ['NOAUTH Authentication required.', /password/],
  ['LOADING Redis is loading the dataset in memory', /Wait/],
  ['BUSY Redis is busy running a script.', /SCRIPT KILL/],
  ["ERR unknown command 'evalsha', with args", /rename-command/],
])('%s is explained, with what to do and without its details', (message, fix) => {
  const words = explainRedisRefusal(message)
  expect(words).toMatch(fix)
  expect(words).not.toContain('10.0.0.1')
})

test.each(['connect ECONNREFUSED 127.0.0.1:6379', 'Command timed out', 'Ask again'])('%s is no refusal', (message) => {
  expect(explainRedisRefusal(message)).toBeNull()
})
