import { randomUUID } from 'node:crypto'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { type TestContext, beforeAll, describe, expect, test } from 'vitest'
import { retentionOf } from '../../../src/domain/retention.ts'
import type { TierStorages } from '../../../src/domain/tier-storage.ts'
import { expire } from '../../../src/operations/expire/expire.ts'
import type { SnapshotBlock } from '../../../src/operations/backup/snapshot-block.ts'
import { deletionDelayMs } from '../../../src/repository/deletion-marks.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import type { ObjectStore, ObjectTiering } from '../../../src/stores/object-store.ts'
import { createS3Store } from '../../../src/stores/s3-store.ts'
import { createS3Tiering } from '../../../src/stores/s3-tiering.ts'
import type { Clock } from '../../../src/system/clock.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { thisProcess } from '../../../src/system/machine.ts'
import { createManualClock } from '../../fakes/manual-clock.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { backUp, makeFakeBlock } from '../../support/fake-server.ts'
import { testS3Server } from '../../support/s3-server.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const startMs = Date.UTC(2026, 0, 5)

let blocks: SnapshotBlock[]
beforeAll(async () => {
  const directory = await temporaryDirectory('tiering-blocks')
  blocks = await Promise.all(Array.from({ length: 8 }, (_, nth) => makeFakeBlock(directory, { instance: 'prom-a', nth, startMs, tombstones: nth === 2 })))
})

function contextOf(store: ObjectStore, clock: Clock, more: { tiering: { objects: ObjectTiering; tiers: TierStorages }; retention: ReturnType<typeof retentionOf> }) {
  return { instance: 'prom-a', repositories: [{ name: 'primary', store, ...more }], timezone: 'UTC', self: thisProcess(), isDead: () => false, clock, logger: silentLogger, signal: new AbortController().signal }
}

const all = { allInstances: false, repositories: [] }

/** The clock of a host whose backups are made at other times than now. */
function clockAt(ms: number): Clock {
  return { now: () => new Date(ms), monotonicMs: () => performance.now(), sleep: async () => {} }
}

async function bucketWithLocks(context: TestContext) {
  const server = await testS3Server(context)
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
  const client = new S3Client({ endpoint: server.endpoint, region: server.region, forcePathStyle: true, credentials: server })
  const bucket = `tiering-${randomUUID()}`
  await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }))
  client.destroy()
  const options = { ...server, bucket, prefix: '' }
  const [store, objects] = [createS3Store(options), createS3Tiering(options)]
  context.onTestFinished(async () => void (await Promise.all([store.close(), objects.close()])))
  const classes = async () => {
    const found = new Map<string, Set<string>>()
    for await (const { key, storageClass } of objects.listClasses('blocks/')) if (!key.endsWith('meta.json')) found.set(storageClass, (found.get(storageClass) ?? new Set()).add(key.split('/')[1] as string))
    return Object.fromEntries([...found].map(([name, ulids]) => [name, ulids.size]))
  }
  return { store, objects, classes }
}

describe('on a real store', () => {
  test('what lives on for a longer tier alone is moved to its class, once; what is also wanted sooner stays', async (context) => {
    const { store, objects, classes } = await bucketWithLocks(context)
    const tiers: TierStorages = { monthly: { storageClass: 'GLACIER_IR' } }
    const make = (atMs: number, from: number, to: number) => backUp(store, { instance: 'prom-a', clock: clockAt(atMs), random: `${from}${to}aaaa`, blocks: blocks.slice(from, to), head: blocks[7] as SnapshotBlock, tiering: { objects, tiers } })
    await make(startMs, 0, 3)
    await make(startMs + 40 * dayMs, 2, 4)
    await make(startMs + 41 * dayMs, 4, 5)
    const run = (apply: boolean) => expire(contextOf(store, clockAt(startMs + 41 * dayMs), { tiering: { objects, tiers }, retention: retentionOf({ keepLast: 2, keepMonthly: 12 }) }), { ...all, apply })
    expect(await run(false)).toMatchObject({ removed: [], repositories: [{ movedObjects: 4 }] })
    expect(await classes()).toEqual({ STANDARD: 5 })
    expect(await run(true)).toMatchObject({ removed: [], repositories: [{ movedObjects: 4, movedBytes: expect.any(Number) }] })
    expect(await classes()).toEqual({ STANDARD: 3, GLACIER_IR: 2 })
    expect(await run(true)).toMatchObject({ repositories: [{ movedObjects: 0 }] })
  })

  test('a recovery point of a locked tier is locked with all that it names, and stays until the lock ends, whatever the retention says', async (context) => {
    const { store, objects } = await bucketWithLocks(context)
    const tiers: TierStorages = { daily: { lock: { mode: 'GOVERNANCE', days: 2 } } }
    const make = (atMs: number, from: number, to: number) => backUp(store, { instance: 'prom-a', clock: clockAt(atMs), random: `${from}${to}aaaa`, blocks: blocks.slice(from, to), head: 'empty', tiering: { objects, tiers } })
    const { point } = await make(startMs, 0, 3)
    await make(startMs + hourMs, 3, 4)
    await make(startMs + 2 * hourMs, 4, 5)
    for (const key of [`instances/prom-a/recovery-points/${point.id}.json`, `blocks/${point.blocks[0]?.ulid}/meta.json`, `blocks/${point.blocks[0]?.ulid}/chunks/000001`, `instances/prom-a/tombstones/${point.blocks.find(({ tombstones }) => tombstones)?.tombstones?.sha256}`]) {
      expect((await objects.lockedUntil(key))?.getTime(), key).toBeGreaterThan(Date.now() + 47 * hourMs)
    }
    const context1 = contextOf(store, clockAt(startMs), { tiering: { objects, tiers }, retention: retentionOf({ keepLast: 1 }) })
    for (const apply of [false, true]) {
      const report = await expire(context1, { ...all, apply })
      expect(report).toMatchObject({ kept: [{ id: point.id, reasons: [expect.stringMatching(/^locked until /)] }, {}], removed: [{}] })
    }
    expect(await store.head(`instances/prom-a/recovery-points/${point.id}.json`)).toBeDefined()
  })
})

test('what is locked when its time has come stays, is told with its end, and goes after it', async () => {
  const clock = createManualClock(new Date(startMs))
  const store = createMemoryStore({ clock })
  const locks = new Map<string, Date>()
  /** Keeps the contract of `ObjectTiering` over objects in memory. */
  const objects: ObjectTiering = {
    async *listClasses(prefix) {
      for await (const object of store.list(prefix)) yield { ...object, storageClass: 'STANDARD' }
    },
    moveToClass: async () => {},
    lock: async (key, { until }) => void locks.set(key, until),
    locksEnabled: async () => true,
    lockedUntil: async (key) => locks.get(key),
    close: async () => {},
  }
  const tiering = { objects, tiers: { yearly: { lock: { mode: 'GOVERNANCE' as const, days: 5 } } } }
  const make = (from: number, to: number) => backUp(store, { instance: 'prom-a', clock, random: `${from}${to}aaaa`, blocks: blocks.slice(from, to), head: 'empty', tiering })
  const first = await make(0, 2)
  clock.advance(hourMs)
  await make(2, 4)
  const run = () => expire(contextOf(store, clock, { tiering, retention: retentionOf({ keepLast: 1 }) }), { ...all, apply: true })
  expect(await run()).toMatchObject({ removed: [], kept: [{ id: first.point.id }, {}] })
  // Of the lock of its manifest nothing is left; its blocks are locked for longer.
  locks.delete(`instances/prom-a/recovery-points/${first.point.id}.json`)
  expect(await run()).toMatchObject({ removed: [{ id: first.point.id }], markedBlocks: 2 })
  clock.advance(deletionDelayMs)
  const until = new Date(startMs + 5 * dayMs).toISOString()
  expect(await run()).toMatchObject({ deletedBlocks: 0, repositories: [{ locked: [{ until }, { until }] }] })
  clock.advance(3 * dayMs)
  expect(await run()).toMatchObject({ deletedBlocks: 2, repositories: [{ locked: [] }] })
})
