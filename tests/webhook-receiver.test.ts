// The example receiver of docs/webhooks.md, run unchanged.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { newWebhookSecret, signWebhook } from '@reelqueue/shared/webhooks/sign'
import { afterAll, expect, it } from 'vitest'
import { until } from './support/wait.ts'
import { closedPort } from './support/webhook-endpoint.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const folder = await mkdtemp(join(tmpdir(), 'reelqueue-receiver-'))
let receiver: ChildProcess | undefined

afterAll(async () => {
  receiver?.kill()
  await rm(folder, { recursive: true, force: true })
})

it('verifies what we sign, and refuses what we did not', async () => {
  const [, code = ''] = /```ts\n([\s\S]*?)```/.exec(await readFile(join(ROOT, 'docs/webhooks.md'), 'utf8')) ?? []
  expect(code.split('\n').length).toBeLessThan(20)
  await writeFile(join(folder, 'receiver.mts'), code)
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  const secret = newWebhookSecret()
  const port = await closedPort()
  receiver = spawn(join(ROOT, 'node_modules/.bin/tsx'), ['receiver.mts'], {
    cwd: folder,
    env: { ...process.env, WEBHOOK_SECRET: secret, PORT: String(port) },
  })
  let output = ''
  for (const stream of [receiver.stdout, receiver.stderr]) stream?.on('data', (text) => (output += String(text)))

  const body = JSON.stringify({ type: 'generation.completed', data: {} })
  const send = async (signedWith: string, text = body) => {
    const headers = signWebhook({ id: 'evt_1', timestamp: new Date(), body, secrets: [signedWith] })
    return (await fetch(`http://127.0.0.1:${port}/hook`, { method: 'POST', headers, body: text })).status
  }
  expect(await until('it listens', () => send(secret))).toBe(204)
  await until('it has said so', () => output.includes('evt_1 generation.completed'))
  expect(await send(newWebhookSecret())).toBe(400)
  expect(await send(secret, `${body} `)).toBe(400)
})
