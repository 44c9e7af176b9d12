// Prisma's command line reads this file. The product itself needs no engine binary: `npm run migrate`
// runs the same schema engine as WebAssembly (packages/shared/src/migrate/migrate.ts).
import { defineConfig } from 'prisma/config'

// Without this, `prisma generate` downloads a native engine that it does not use, and fails offline.
process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= process.execPath

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  datasource: { url: process.env.DATABASE_URL ?? 'postgresql://localhost/reelqueue' },
})
