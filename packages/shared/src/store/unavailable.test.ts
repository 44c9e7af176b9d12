import { expect, test } from 'vitest'
import { Prisma } from './generated/client.ts'
import { isCommonFailure, isUnavailable, whyUnavailable } from './unavailable.ts'

/** An error as Prisma 7.10 throws it: the server's error is the cause of the adapter's error. */
function prismaError(code: string, cause: Record<string, unknown>) {
  const driverAdapterError = new Error('adapter', { cause })
  return new Prisma.PrismaClientKnownRequestError('Meldung', { code, clientVersion: '7', meta: { driverAdapterError } })
}
const ofState = (state: string) => prismaError('P2010', { kind: 'postgres', originalCode: state })
const ofNetwork = (code: string) => Object.assign(new Error('connect'), { code })

test.each([
  ['08000', 'unreachable'],
  ['08P01', 'unreachable'],
  ['25006', 'read_only'],
  ['28P01', 'refuses_login'],
  ['53000', 'limit_reached'],
  ['53100', 'disk_full'],
  ['53200', 'out_of_memory'],
  ['53300', 'too_many_connections'],
  ['53400', 'limit_reached'],
  ['57P01', 'starting'],
  ['57P02', 'starting'],
  ['57P03', 'starting'],
  ['57P05', 'unreachable'],
  ['58000', 'broken_files'],
  ['58030', 'broken_files'],
  ['55P03', 'busy'],
  ['57014', 'busy'],
])('SQLSTATE %s means that Postgres is away: %s', (state, why) => {
  expect(whyUnavailable(ofState(state))).toBe(why)
})

test.each(['22012', '22P02', '23505', '23503', '42P01', '42703', 'P0001', 'XX000'])(
  'SQLSTATE %s is the fault of the statement',
  (state) => {
    expect(isUnavailable(ofState(state))).toBe(false)
  },
)

test.each([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ENOTFOUND',
  'ETIMEDOUT',
])('the network says that Postgres is away: %s', (code) => {
  expect(whyUnavailable(ofNetwork(code))).toBe('unreachable')
})

test.each(['DatabaseNotReachable', 'ConnectionClosed', 'SocketTimeout'])('so does the adapter: %s', (kind) => {
  expect(whyUnavailable(prismaError('P2010', { kind }))).toBe('unreachable')
})

test('a missing file is no outage of Postgres, nor is whatever is no error', () => {
  expect(isUnavailable(ofNetwork('ENOENT'))).toBe(false)
  expect(isUnavailable('53100')).toBe(false)
})

test('a statement for many rows that took too long is tried row by row, and one for which there is no disk is not', () => {
  expect([ofState('57014'), ofState('53100')].map(isCommonFailure)).toEqual([false, true])
})
