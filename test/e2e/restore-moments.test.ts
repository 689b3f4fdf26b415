import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { list } from '../../src/operations/report/list.ts'
import type { RestoreRequest } from '../../src/operations/restore/restore-report.ts'
import { show } from '../../src/operations/report/show.ts'
import { createFileStore } from '../../src/stores/file-store.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { openObjectStore } from '../../src/stores/open-store.ts'
import { systemClock } from '../../src/system/clock.ts'
import { silentLogger } from '../../src/system/logger.ts'
import { promDr } from '../cli/launcher.ts'
import { createFaultyStore } from '../fakes/faulty-store.ts'
import { startS3FaultProxy } from '../fakes/s3-fault-proxy.ts'
import { atEndOfFile, temporaryDirectory } from '../support/cleanup.ts'
import { keysOf } from '../support/bodies.ts'
import { type TestOperations, operationsOn, rejectionOf } from '../support/operations.ts'
import { missingPrograms } from '../support/prometheus.ts'
import { type Restorable, makeRestorable } from '../support/restorable.ts'
import { createTestBucket } from '../support/s3-server.ts'

const signal = new AbortController().signal

describe.skipIf(missingPrograms('prometheus', 'promtool'))('the moment of a restore', () => {
  let source: Restorable
  let operations: TestOperations
  let first: { id: string; createdAtMs: number; maxTimeMs: number }
  let second: typeof first
  const unused = '/nowhere/at/all'

  beforeAll(async () => {
    source = await makeRestorable({ recoveryPoints: 2 })
    const store = createFileStore({ root: source.root })
    operations = operationsOn(source.api, store)
    const { instances } = await list({ repositories: [{ name: 'primary', store }], signal }, { repositories: [] })
    const [one, two] = (instances[0]?.recoveryPoints ?? []).map(({ id, createdAt, maxTime }) => ({ id, createdAtMs: Date.parse(createdAt), maxTimeMs: Date.parse(maxTime ?? '') }))
    first = one as typeof first
    second = two as typeof first
  })

  const plan = async (at: RestoreRequest['at'], more: Partial<RestoreRequest> = {}) => (await operations.restore(unused, { at, dryRun: true, start: false, ...more })).plan

  it('may be latest, an id, or any time from the newest sample to the making of a recovery point', async () => {
    expect(await plan({ kind: 'latest' })).toMatchObject({ recoveryPoint: second.id, stoppedBy: 'recovery-point', recoverableAt: new Date(second.maxTimeMs).toISOString() })
    expect(await plan({ kind: 'recovery-point', id: first.id })).toMatchObject({ recoveryPoint: first.id })
    for (const ms of [second.maxTimeMs, second.createdAtMs]) expect(await plan({ kind: 'time', ms })).toMatchObject({ recoveryPoint: second.id, stoppedBy: 'recovery-point' })
  })

  it('that lies before the first, between two, or after the newest is refused with its neighbours, and --nearest takes the one before', async () => {
    const between = first.createdAtMs + 1
    expect(between).toBeLessThan(second.maxTimeMs)
    expect(await rejectionOf(plan({ kind: 'time', ms: between }))).toMatchObject({ code: 'MOMENT_UNREACHABLE', message: expect.stringContaining('between two'), details: { before: first.id, after: second.id } })
    expect(await plan({ kind: 'time', ms: between }, { nearest: true })).toMatchObject({ recoveryPoint: first.id, stoppedBy: 'nearest' })
    const before = first.maxTimeMs - 3_600_000
    for (const nearest of [false, true]) expect(await rejectionOf(plan({ kind: 'time', ms: before }, { nearest }))).toMatchObject({ code: 'MOMENT_UNREACHABLE', details: { before: null, after: first.id } })
    expect(await rejectionOf(plan({ kind: 'time', ms: second.createdAtMs + 1 }))).toMatchObject({ code: 'MOMENT_UNREACHABLE', details: { before: second.id, after: null } })
    expect(await rejectionOf(plan({ kind: 'recovery-point', id: '20200101T000000Z-aaaaaaaa' }))).toMatchObject({ code: 'NO_RECOVERY_POINT' })
  })

  it('has the exit codes of the table on the command line', async () => {
    const directory = await temporaryDirectory('moments')
    const configFile = join(directory, 'prom-dr.yml')
    await writeFile(configFile, `instance: prom-a\nprometheus: {url: 'http://127.0.0.1:9'}\nrepositories:\n  - {name: primary, url: 'file://${source.root}'}\n`)
    const code = async (...args: string[]) => (await promDr(['restore', '--target', join(directory, 'target'), '--config', configFile, '--json', ...args], { cwd: directory })).code
    expect(await code('--at', new Date(first.createdAtMs + 1).toISOString())).toBe(7)
    expect(await code('--at', '2026-11-21 03:00:00')).toBe(2)
    expect(await code('--at', 'latest', '--instance', 'prom-b')).toBe(2)
    expect(await code('--at', 'latest', '--instance', 'no/name')).toBe(2)
    await writeFile(configFile, `instance: prom-a\nprometheus: {url: 'http://127.0.0.1:9'}\nrepositories:\n  - {name: primary, url: 'file://${directory}/nothing'}\n`)
    expect(await code('--at', 'latest')).toBe(8)
  })

  it('of another instance than there is names those that there are', async () => {
    expect(await rejectionOf(plan({ kind: 'latest' }, { instance: 'prom-b' }))).toMatchObject({ code: 'INSTANCE_NOT_FOUND', hint: expect.stringContaining('it has: prom-a'), details: { others: ['prom-a'] } })
    const empty = operationsOn(source.api, createMemoryStore())
    expect(await rejectionOf(empty.restore(unused))).toMatchObject({ code: 'REPOSITORY_NOT_FOUND' })
    const context = { repositories: [{ name: 'primary', store: createFileStore({ root: source.root }) }], instance: 'prom-b', signal }
    expect(await rejectionOf(show(context, { id: 'latest', repositories: [] }))).toMatchObject({ code: 'INSTANCE_NOT_FOUND', hint: expect.stringContaining('prom-a') })
    expect(await show(context, { id: second.id, repositories: [] })).toMatchObject({ id: second.id, instance: 'prom-a', totals: { blocks: 4 } })
  })

  it('is found in one repository when the other is out of reach, and in none when both are', async () => {
    const up = { name: 'up', store: createFileStore({ root: source.root }) }
    const down = { name: 'down', store: createFaultyStore(createMemoryStore(), Array.from({ length: 200 }, (_, call) => ({ verb: 'any' as const, call: call + 1, at: 'before' as const }))) }
    const target = join(await temporaryDirectory('one-of-two'), 'data')
    const report = await operationsOn(source.api, [down, up]).restore(target, { start: false })
    expect(report).toMatchObject({ unreachable: [{ repository: 'down', code: 'STORE_UNREACHABLE' }], repaired: [], plan: { repository: 'up', recoveryPoint: second.id } })
    expect(await rejectionOf(operationsOn(source.api, [down]).restore(unused))).toMatchObject({ code: 'STORE_UNREACHABLE' })
  })

  it('comes whole from the other repository when the first goes away while it is read', async () => {
    const { store } = await source.copy()
    const dying = createFaultyStore(store, Array.from({ length: 200 }, (_, call) => ({ verb: 'get' as const, call: call + 1, key: /chunks/, at: call === 0 ? 5000 : ('before' as const) })))
    const target = join(await temporaryDirectory('dying'), 'data')
    const report = await operationsOn(source.api, [{ name: 'dying', store: dying }, { name: 'up', store: createFileStore({ root: source.root }) }]).restore(target, { start: true })
    expect(dying.fired.length).toBeGreaterThan(0)
    expect(report.answers).toMatchObject({ equal: true })
    expect(report.repaired.map(({ from }) => from)).toEqual(report.repaired.map(() => 'up'))
    expect(report.repaired.length).toBeGreaterThan(0)
  })

  it('waits out an outage of S3 in the middle of it', async (context) => {
    const { openUploads: _, bucket, ...server } = await createTestBucket(context)
    const proxy = await startS3FaultProxy(server.endpoint)
    atEndOfFile(() => proxy.close())
    const s3 = { region: server.region, accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey, forcePathStyle: true }
    const open = (endpoint: string) => openObjectStore({ url: `s3://${bucket}/dr`, s3: { ...s3, endpoint } }, { clock: systemClock, logger: silentLogger, retryBudgetMs: 60_000 })
    const direct = await open(server.endpoint)
    const local = createFileStore({ root: source.root })
    for (const key of await keysOf(local)) {
      const { body, sizeBytes } = await local.get(key)
      await direct.put(key, { sizeBytes, open: () => body })
    }
    const through = await open(proxy.endpoint)
    proxy.inject(({ path }, count) => {
      if (!/chunks|index/.test(path) || count > 60) return undefined
      if (count % 4 === 0) return { kind: 'cut-answer', afterBytes: 20 }
      return count % 12 === 1 ? { kind: 'answer', status: 503, body: '<Error><Code>SlowDown</Code></Error>' } : count % 12 === 3 ? { kind: 'close' } : undefined
    })
    const target = join(await temporaryDirectory('outage'), 'data')
    const report = await operationsOn(source.api, through).restore(target)
    expect(proxy.injected).toBeGreaterThan(5)
    expect(report).toMatchObject({ repaired: [], resumedBytes: 0, answers: { equal: true } })
    expect(report.bytes).toBe(report.plan.bytes)
    await Promise.all([direct.close(), through.close()])
    await rm(target, { recursive: true })
  })
})
