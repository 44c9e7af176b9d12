// The one table of the project's layers: who may import whom. ARCHITECTURE.md shows the same layers as text.

const CONTRACT = 'packages/contract/src/'
const SHARED = 'packages/shared/src/'

/** A folder or file of sources. A file belongs to the room with the longest matching path. */
export interface Room {
  readonly path: string
  /** The other rooms that this room may import. */
  readonly rooms: readonly string[]
  /** The npm packages that this room may import; a name ending in `/` allows a whole scope. */
  readonly packages: readonly string[]
}

const TERMS = [`${CONTRACT}text`, `${CONTRACT}terms`]
const BASE = [...TERMS, ...shared('domain', 'runtime')]
const STORE = [...BASE, `${SHARED}store`]
const PRISMA = ['pg', '@prisma/', 'zod']
/** What apps reach: all of packages/shared except the rooms that only commands use. */
const REACHED = [
  ...STORE,
  ...shared('store/deliveries', 'store/admission', 'store/intake', 'store/lifecycle', 'store/operator'),
  ...shared('queues', 'providers', 'webhooks', 'after-commit.ts'),
]
const HTTP = [`${CONTRACT}wire`, `${CONTRACT}routes`, `${CONTRACT}routes.ts`]

export const ROOMS: readonly Room[] = [
  // A browser loads packages/contract.
  { path: `${CONTRACT}text`, rooms: [], packages: [] },
  { path: `${CONTRACT}terms`, rooms: [`${CONTRACT}text`], packages: ['typeid-js'] },
  { path: `${CONTRACT}wire`, rooms: TERMS, packages: ['zod'] },
  { path: `${CONTRACT}routes`, rooms: [...TERMS, `${CONTRACT}wire`], packages: ['zod'] },
  { path: `${CONTRACT}routes.ts`, rooms: [`${CONTRACT}routes`], packages: [] },

  { path: `${SHARED}domain`, rooms: TERMS, packages: [] },
  {
    path: `${SHARED}runtime`,
    rooms: [...TERMS, ...shared('domain')],
    packages: ['dataloader', 'ipaddr.js', 'pg', 'pino', 'zod'],
  },
  // Only the store speaks SQL. Its rooms stand on each other in this order.
  { path: `${SHARED}store`, rooms: BASE, packages: PRISMA },
  { path: `${SHARED}store/deliveries`, rooms: STORE, packages: PRISMA },
  { path: `${SHARED}store/admission`, rooms: STORE, packages: PRISMA },
  { path: `${SHARED}store/intake`, rooms: [...STORE, ...shared('store/deliveries')], packages: PRISMA },
  {
    path: `${SHARED}store/lifecycle`,
    rooms: [...STORE, ...shared('store/deliveries', 'store/admission', 'store/intake')],
    packages: PRISMA,
  },
  // Operators see everything: the other rooms of the store may be asked, and none of them asks back.
  {
    path: `${SHARED}store/operator`,
    rooms: [...STORE, ...shared('store/deliveries', 'store/admission', 'store/intake', 'store/lifecycle')],
    packages: PRISMA,
  },
  // Only queues/ constructs BullMQ objects.
  { path: `${SHARED}queues`, rooms: BASE, packages: ['bullmq', 'ioredis', 'pg'] },
  // Only providers/ and webhooks/ send requests.
  { path: `${SHARED}providers`, rooms: BASE, packages: ['ipaddr.js', 'undici'] },
  { path: `${SHARED}webhooks`, rooms: BASE, packages: ['ipaddr.js', 'standardwebhooks', 'undici'] },
  {
    path: `${SHARED}doctor`,
    rooms: [...STORE, ...shared('store/operator', 'queues')],
    packages: ['bullmq', 'ioredis', 'pg'],
  },
  { path: `${SHARED}migrate`, rooms: [...STORE, ...shared('doctor', 'queues')], packages: PRISMA },
  { path: `${SHARED}embedded`, rooms: BASE, packages: [] },
  // Steps and routes say what they committed; no layer below does.
  {
    path: `${SHARED}after-commit.ts`,
    rooms: [...BASE, ...shared('store/lifecycle', 'queues')],
    packages: [],
  },
  { path: `${SHARED}app-context.ts`, rooms: REACHED, packages: [] },

  // No app imports another.
  {
    path: 'apps/api/src',
    rooms: [...REACHED, ...HTTP],
    packages: ['@bull-board/', '@fastify/', 'fastify', 'fastify-type-provider-zod', 'prom-client', 'zod'],
  },
  { path: 'apps/worker/src', rooms: [...REACHED, ...HTTP], packages: [] },
  // The simulator shares no code with the adapter that the simulator tests.
  { path: 'apps/simulator/src', rooms: [], packages: ['fastify', 'zod'] },
]

function shared(...names: readonly string[]): string[] {
  return names.map((name) => SHARED + name)
}
