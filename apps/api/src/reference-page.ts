// The reference page at /docs: Scalar, which draws the OpenAPI document in the browser. Everything comes from this server: the policy of
// our pages (page-origin.ts) allows no other origin and no inline script, so the page and its start are two files.

import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** What Scalar would load from its makers, or show for their services, is off. */
const CONFIGURATION = {
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  showDeveloperTools: 'never',
  hideClientButton: true,
  persistAuth: false,
  authentication: { preferredSecurityScheme: 'apiKey' },
  defaultHttpClient: { targetKey: 'shell', clientKey: 'curl' },
}

export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reelqueue API</title>
<link rel="icon" href="data:,">
</head>
<body>
<div id="reference"><noscript>This page needs JavaScript. <a href="../openapi.json">The OpenAPI document</a> says the same.</noscript></div>
<script src="scalar.js"></script>
<script src="start.js"></script>
</body>
</html>
`

/**
 * Requests go to the address of the page itself: below any path of a proxy, and the policy of our pages allows no
 * other. Every address is relative for the same reason.
 */
export const START = `const api = new URL('..', location.href)
Scalar.createApiReference('#reference', {
  ...${JSON.stringify(CONFIGURATION)},
  url: new URL('openapi.json', api).href,
  servers: [{ url: api.href.replace(/\\/$/, '') }],
})
`

/** How zod, inside Scalar, asks whether `eval` is allowed. */
const PROBE = 'try{return new Function(""),!0}catch(e){return!1}'

/** Scalar's own bundle for browsers. The answer to its probe is known: our policy allows no `eval`, and would report the probe. */
export async function readScalar(): Promise<string> {
  const main = createRequire(import.meta.url).resolve('@scalar/fastify-api-reference')
  const script = await readFile(join(dirname(main), 'js', 'standalone.js'), 'utf8')
  return script.replaceAll(PROBE, 'return!1')
}
