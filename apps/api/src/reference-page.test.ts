import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { START } from './reference-page.ts'

/** What the page at `address` tells Scalar. */
function configurationAt(address: string): Record<string, unknown> {
  let given = {}
  const createApiReference = (_place: string, configuration: object) => {
    given = configuration
  }
  runInNewContext(START, { URL, location: { href: address }, Scalar: { createApiReference } })
  return JSON.parse(JSON.stringify(given))
}

it.each([
  ['http://127.0.0.1:3000/docs/', 'http://127.0.0.1:3000'],
  ['https://example.com/reel/docs/#tag/batches', 'https://example.com/reel'],
])('the page at %s reads the document and sends requests below its own address', (address, api) => {
  expect(configurationAt(address)).toMatchObject({ url: `${api}/openapi.json`, servers: [{ url: api }] })
})

it('Scalar loads no font, counts nobody, uses no proxy and offers no service of its makers', () => {
  const configuration = configurationAt('http://127.0.0.1:3000/docs/')
  expect(configuration).toMatchObject({
    withDefaultFonts: false,
    telemetry: false,
    agent: { disabled: true },
    mcp: { disabled: true },
    showDeveloperTools: 'never',
    hideClientButton: true,
    persistAuth: false,
  })
  expect(configuration).not.toHaveProperty('proxyUrl')
})
