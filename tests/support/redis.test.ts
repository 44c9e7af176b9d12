import { createConnection } from 'node:net'
import { expect, test } from 'vitest'
import { startRedis } from './redis.ts'
import { until } from './wait.ts'

test('a test Redis keeps its data over a restart and a crash, loses them when wiped, and its port never changes', async () => {
  const redis = await startRedis()
  try {
    expect(await ask(redis.url, 'SET film 1')).toBe('+OK')
    await redis.restart()
    expect(await ask(redis.url, 'INCR film')).toBe(':2')
    await redis.kill()
    await expect(ask(redis.url, 'PING')).rejects.toThrow('ECONNREFUSED')
    await redis.restart()
    expect(await ask(redis.url, 'INCR film')).toBe(':3')
    await redis.restart({ wipe: true })
    expect(await ask(redis.url, 'GET film')).toBe('$-1')
  } finally {
    await redis.destroy()
  }
  expect(() => process.kill(redis.pid, 0)).toThrow('ESRCH')
})

test('until gives the first truthy value, and at its deadline says what it waited for and saw last', async () => {
  let calls = 0
  expect(await until('three calls', () => ++calls >= 3 && calls)).toBe(3)
  const refused = until('the moon', () => Promise.reject(new Error('clouds')), { timeoutMs: 50 })
  await expect(refused).rejects.toThrow(/Not within 50 ms: the moon\. Last seen: Error: clouds/)
})

/** The first line of Redis's reply to an inline command. */
function ask(url: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(Number(new URL(url).port), '127.0.0.1', () => socket.write(`${command}\r\n`))
    socket.once('error', reject)
    socket.once('data', (data) => {
      socket.destroy()
      resolve(data.toString().split('\r\n')[0] ?? '')
    })
  })
}
