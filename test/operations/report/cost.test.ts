import { beforeAll, expect, test } from 'vitest'
import { retentionOf } from '../../../src/domain/retention.ts'
import { costLines, defaultPrices, monthlyCost, storedFor } from '../../../src/domain/storage-cost.ts'
import type { SnapshotBlock } from '../../../src/operations/backup/snapshot-block.ts'
import { status } from '../../../src/operations/report/status.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { type ObjectTiering, bytesBody } from '../../../src/stores/object-store.ts'
import { createManualClock } from '../../fakes/manual-clock.ts'
import { keysOf } from '../../support/bodies.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { backUp, makeFakeBlock } from '../../support/fake-server.ts'

const hourMs = 3_600_000
const startMs = Date.UTC(2026, 0, 5)
const gibibyte = 2 ** 30

let blocks: SnapshotBlock[]
beforeAll(async () => {
  const directory = await temporaryDirectory('cost-blocks')
  blocks = await Promise.all(Array.from({ length: 6 }, (_, nth) => makeFakeBlock(directory, { instance: 'prom-a', nth, startMs, tombstones: nth === 1 })))
})

test('what a month costs is the bytes in each class by its price; a class without one leaves it unknown', () => {
  expect(monthlyCost([{ storageClass: 'STANDARD', bytes: 100 * gibibyte }, { storageClass: 'GLACIER_IR', bytes: gibibyte }], defaultPrices)).toBeCloseTo(2.304)
  expect(monthlyCost([{ storageClass: 'FILE', bytes: 100 * gibibyte }], defaultPrices)).toBe(0)
  expect(monthlyCost([{ storageClass: 'STANDARD', bytes: 1 }, { storageClass: 'COLD', bytes: 1 }], defaultPrices)).toBeNull()
})

test('something is stored for the shortest tier that keeps it', () => {
  expect(storedFor(new Set(['yearly', 'daily']))).toBe('daily')
  expect(storedFor(new Set(['yearly', 'newest']))).toBe('last')
  expect(storedFor(new Set(['hold']))).toBe('hold')
  expect(storedFor(new Set())).toBe('expiring')
})

async function scene(tiering?: (store: ReturnType<typeof createMemoryStore>) => ObjectTiering) {
  const clock = createManualClock(new Date(startMs))
  const store = createMemoryStore({ clock })
  const make = (from: number, to: number, instance = 'prom-a') => backUp(store, { instance, clock, random: `${from}${to}aaaa`, blocks: blocks.slice(from, to), head: 'empty' })
  await make(0, 2)
  clock.advance(40 * 24 * hourMs)
  await make(2, 3)
  clock.advance(hourMs)
  await make(3, 4)
  await make(5, 6, 'prom-b')
  await store.put('blocks/01HZZZZZZZZZZZZZZZZZZZZZZZ/index', bytesBody(Buffer.from('named by nobody')))
  await store.put(`instances/prom-a/wal/20260101T000000Z-aaaaaaaa/heartbeat.json`, bytesBody(Buffer.from('{}')))
  await store.put(`instances/prom-a/archives/files/${'a'.repeat(64)}.tar.gz`, bytesBody(Buffer.from('left over')))
  const objects = tiering?.(store)
  const context = {
    repositories: [{ name: 'primary', store }], shipIntervalMs: 10_000, clock, signal: new AbortController().signal,
    costs: { retentions: new Map([['primary', retentionOf({ keepLast: 1, keepMonthly: 12 })]]), tierings: new Map(objects === undefined ? [] : [['primary', objects]]), timezone: 'UTC', prices: defaultPrices },
  }
  return { store, context }
}

test('every object of a repository is counted once, by tier, component and instance', async () => {
  const { store, context } = await scene()
  const { cost } = await status(context, { repositories: [], cost: true })
  const keys = await keysOf(store)
  const total = [...store.objects.values()].reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
  const [repository] = cost?.repositories ?? []
  expect(repository).toMatchObject({ name: 'primary', objects: keys.length, bytes: total, monthly: 0 })
  for (const lines of [repository?.tiers, repository?.components, repository?.instances, repository?.storageClasses]) {
    expect(lines?.reduce((sum, line) => sum + line.objects, 0)).toBe(keys.length)
    expect(lines?.reduce((sum, line) => sum + line.bytes, 0)).toBe(total)
  }
  const objectsOf = (lines: { name: string; objects: number }[] = []) => Object.fromEntries(lines.map(({ name, objects }) => [name, objects]))
  // Three files of a block: two blocks and a tombstones file for the month that has passed, one for the month that runs, one each for the newest.
  expect(objectsOf(repository?.tiers)).toMatchObject({ monthly: 10, last: 6, unnamed: 2, log: 1 })
  expect(objectsOf(repository?.components)).toMatchObject({ tsdb: 17, files: 1, wal: 1 })
  expect(objectsOf(repository?.instances)['prom-b']).toBeGreaterThan(3)
  expect(await status(context, { repositories: [] })).not.toHaveProperty('cost')
})

test('the blocks of other instances are theirs, also when one instance is asked for', async () => {
  const { context } = await scene()
  const of = async (instance?: string) => (await status(context, { repositories: [], cost: true, ...(instance !== undefined && { instance }) })).cost
  expect(await of('prom-b')).toEqual(await of())
})

test('a store with classes is asked which, and a class without a price is named', async () => {
  const { context } = await scene((store): ObjectTiering => ({
    async *listClasses(prefix) {
      for await (const object of store.list(prefix)) yield { ...object, storageClass: object.key.startsWith('blocks/') ? 'COLD' : 'STANDARD' }
    },
    moveToClass: async () => {}, lock: async () => {}, locksEnabled: async () => false, lockedUntil: async () => undefined, close: async () => {},
  }))
  const { cost } = await status(context, { repositories: [], cost: true })
  expect(cost).toMatchObject({ monthly: null, unpriced: ['COLD'], repositories: [{ storageClasses: expect.arrayContaining([expect.objectContaining({ name: 'STANDARD', monthly: expect.any(Number) }), expect.objectContaining({ name: 'COLD', monthly: null })]) }] })
})

test('lines come in the order that is asked for, or by size', () => {
  const share = (tier: 'last' | 'monthly', bytes: number) => ({ tier, component: 'tsdb', instance: null, storageClass: 'FILE', objects: 1, bytes })
  const shares = [share('monthly', 9), share('last', 1)]
  expect(costLines(shares, 'tier', { prices: defaultPrices, order: ['last', 'monthly'] }).map(({ name }) => name)).toEqual(['last', 'monthly'])
  expect(costLines(shares, 'tier', { prices: defaultPrices }).map(({ name }) => name)).toEqual(['monthly', 'last'])
  expect(costLines(shares, 'instance', { prices: defaultPrices })).toMatchObject([{ name: '(none)', bytes: 10 }])
})
