// `npm run docs`: writes the documents generated from the code. tests/documents.test.ts fails while a document is stale.

import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCommand } from './command.ts'
import { renderDocuments } from './docs/documents.ts'

await runCommand(async () => {
  for (const [path, text] of Object.entries(await renderDocuments())) {
    const file = fileURLToPath(new URL(`../${path}`, import.meta.url))
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
    console.log(`Wrote ${path}`)
  }
})
