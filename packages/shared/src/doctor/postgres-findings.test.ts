import { describe, expect, test } from 'vitest'
import { missingRight, type PostgresFacts, postgresFindings } from './postgres-findings.ts'

const SOUND: PostgresFacts = {
  version: '15.20 (Debian 15.20-0)',
  versionNumber: 150_020,
  isStandby: false,
  isReadOnly: false,
  sharesBackends: false,
  encoding: 'UTF8',
  serverTimeZone: 'Asia/Shanghai',
  sessionTimeZone: 'UTC',
  writeRefusal: null,
  database: 'films',
  user: 'me',
  mayCreateTables: true,
  mayCreateSchemas: true,
  fsync: 'on',
  synchronousCommit: 'on',
  fullPageWrites: 'on',
  connectionsMax: 97,
  connectionsTaken: 53,
}

function judge(change: Partial<PostgresFacts>, connectionsNeeded = 44) {
  return postgresFindings({ ...SOUND, ...change }, connectionsNeeded).filter(({ level }) => level !== 'ok')
}

test('a sound server is ok in every respect, and named', () => {
  const findings = postgresFindings(SOUND, 44)
  expect(findings.map(({ check, level, fix }) => [check, level, fix])).toEqual([
    ['postgres', 'ok', null],
    ['postgres_writing', 'ok', null],
    ['postgres_durability', 'ok', null],
    ['postgres_connections', 'ok', null],
  ])
  expect(findings[0]?.detail).toMatch(/15\.20.*Asia\/Shanghai.*UTC/)
})

describe('a server on which nothing can be accepted is wrong', () => {
  test.each([
    ['older than Postgres 14', { version: '13.22', versionNumber: 130_022 }, '13.22', '14 or newer'],
    ['a standby', { isStandby: true, isReadOnly: true }, 'standby', 'primary'],
    ['read-only by default', { isReadOnly: true }, 'read-only', 'default_transaction_read_only'],
    ['in another encoding', { encoding: 'SQL_ASCII' }, 'SQL_ASCII', "ENCODING 'UTF8'"],
    ['that keeps its own time zone', { sessionTimeZone: 'Asia/Shanghai' }, 'Asia/Shanghai', 'TimeZone'],
    ['behind a pooler in transaction mode', { sharesBackends: true }, 'pooler', 'pool_mode = session'],
  ])('%s', (_, change, detail, fix) => {
    expect(judge(change)).toEqual([
      {
        check: 'postgres',
        level: 'wrong',
        detail: expect.stringContaining(detail),
        fix: expect.stringContaining(fix),
      },
    ])
  })

  test('and the first version that is recent enough is not', () => {
    expect(judge({ versionNumber: 140_000 })).toEqual([])
  })
})

test('a right that the user lacks to create the tables is named, with the statement that grants it', () => {
  expect(missingRight(SOUND)).toBeNull()
  expect(missingRight({ ...SOUND, user: 'a"b', mayCreateTables: false })).toMatchObject({
    detail: expect.stringContaining('schema public'),
    fix: expect.stringContaining('GRANT CREATE ON SCHEMA public TO "a""b"'),
  })
  expect(missingRight({ ...SOUND, mayCreateSchemas: false })?.fix).toContain('GRANT CREATE ON DATABASE "films" TO "me"')
})

describe('durability', () => {
  test.each([
    [{ fsync: 'off' }, 'fsync is off', 'fsync = on'],
    [{ synchronousCommit: 'off' }, 'synchronous_commit is off', 'synchronous_commit = on'],
    [{ fullPageWrites: 'off' }, 'full_page_writes is off', 'full_page_writes = on'],
    [{ fsync: 'off', synchronousCommit: 'off' }, 'fsync and synchronous_commit are off', 'fsync = on, synchronous'],
  ])('%j is a warning that names the setting', (change, detail, fix) => {
    expect(judge(change)).toEqual([
      {
        check: 'postgres_durability',
        level: 'warning',
        detail: expect.stringContaining(detail),
        fix: expect.stringContaining(fix),
      },
    ])
  })

  test.each(['local', 'remote_write', 'remote_apply'])('synchronous_commit %s waits for this disk: ok', (value) => {
    expect(judge({ synchronousCommit: value })).toEqual([])
  })
})

test('a write that is refused is named', () => {
  const writeRefusal = 'The disk of Postgres is full'
  expect(judge({ writeRefusal })).toMatchObject([
    { check: 'postgres_writing', level: 'down', detail: expect.stringContaining(writeRefusal) },
  ])
})

test('how many processes fit is said: on the server, and beside what is there', () => {
  const detail = (change: Partial<PostgresFacts>, needed: number) =>
    postgresFindings({ ...SOUND, ...change }, needed).find(({ check }) => check === 'postgres_connections')?.detail
  expect(detail({}, 22)).toContain('97 hold 4 such processes, and the 44 that are free 2 more')
  expect(detail({ connectionsTaken: 99 }, 60)).toContain('97 hold 1 such process, and the 0 that are free 0 more')
})

test('too few connections for one process more are a warning, to the very connection', () => {
  expect(judge({ connectionsTaken: 53 })).toEqual([])
  expect(judge({ connectionsTaken: 54 })).toMatchObject([{ check: 'postgres_connections', level: 'warning' }])
  expect(judge({ connectionsTaken: 54 }, 20)).toEqual([])
})
