import { beforeAll, describe, expect, test } from 'vitest'
import { retentionOf } from '../../../src/domain/retention.ts'
import { expire } from '../../../src/operations/expire/expire.ts'
import type { ExpireRequest } from '../../../src/operations/expire/expire-report.ts'
import { hold } from '../../../src/operations/expire/hold.ts'
import type { SnapshotBlock } from '../../../src/operations/backup/snapshot-block.ts'
import { deletionDelayMs } from '../../../src/repository/deletion-marks.ts'
import { writeIntent } from '../../../src/repository/intents.ts'
import { acquireLease } from '../../../src/repository/lease.ts'
import { readRecoveryPoints } from '../../../src/repository/recovery-points.ts'
import { isDataKey } from '../../../src/repository/data-keys.ts'
import { createDryRunStore } from '../../../src/stores/dry-run-store.ts'
import { createEncryptingStore } from '../../../src/stores/encrypting-store.ts'
import { createMemoryStore } from '../../../src/stores/memory-store.ts'
import { type ObjectStore, bytesBody } from '../../../src/stores/object-store.ts'
import { silentLogger } from '../../../src/system/logger.ts'
import { thisProcess } from '../../../src/system/machine.ts'
import { createManualClock } from '../../fakes/manual-clock.ts'
import { newKeyPair, sealingWith, writeIdentityFile } from '../../support/age.ts'
import { knownRepository, makeArchive, writeTree } from '../../support/archived.ts'
import { keysOf } from '../../support/bodies.ts'
import { contentOf, garble } from '../../support/both-stores.ts'
import { temporaryDirectory } from '../../support/cleanup.ts'
import { componentsContext, directoryComponent } from '../../support/components.ts'
import { backUp, makeFakeBlock } from '../../support/fake-server.ts'
import { unnamedIn } from '../../support/wholeness.ts'

const hourMs = 3_600_000
const startMs = Date.UTC(2026, 0, 5)
const signal = new AbortController().signal

let directory: string
const blocksOf = new Map<string, SnapshotBlock[]>()

beforeAll(async () => {
  directory = await temporaryDirectory('fake-blocks')
  for (const instance of ['prom-a', 'prom-b']) {
    blocksOf.set(instance, await Promise.all(Array.from({ length: 12 }, (_, nth) => makeFakeBlock(directory, { instance, nth, startMs, tombstones: nth % 4 === 3 }))))
  }
})

function scene(retention = retentionOf({ keepLast: 2 })) {
  const clock = createManualClock(new Date(startMs + 30 * 24 * hourMs))
  const store = createMemoryStore({ clock })
  const context = { instance: 'prom-a', repositories: [{ name: 'primary', store: store as ObjectStore, retention }], timezone: 'UTC', self: thisProcess(), isDead: () => false, clock, logger: silentLogger, signal }
  let made = 0
  return {
    clock, store, context,
    /** A recovery point of some of the server's blocks, the last of which is its head where that is wanted. */
    async backUp(from: number, to: number, more: { instance?: string; head?: boolean; store?: ObjectStore } = {}): Promise<string> {
      const { instance = 'prom-a', head = false } = more
      const blocks = (blocksOf.get(instance) ?? []).slice(from, to)
      clock.advance(hourMs)
      made += 1
      const { point } = await backUp(more.store ?? store, { instance, clock, random: String(made).padStart(6, '0'), blocks: head ? blocks.slice(0, -1) : blocks, head: head ? (blocks.at(-1) as SnapshotBlock) : 'empty' })
      return point.id
    },
    expire: (request: Partial<ExpireRequest> = {}) => expire(context, { allInstances: false, repositories: [], apply: true, ...request }),
    ulids: async () => [...new Set((await keysOf(store, 'blocks/')).map((key) => key.split('/')[1]))],
    marks: async () => (await keysOf(store)).filter((key) => key.endsWith('deletion-mark.json')),
  }
}

describe('expire', () => {
  test('tells what would go, with reasons, and changes nothing unless it is told to apply', async () => {
    const { backUp: make, store, expire: run, context } = scene()
    const ids = [await make(0, 2), await make(1, 3), await make(2, 4)]
    const before = await contentOf(store)
    context.repositories[0]!.store = createDryRunStore(store)
    const report = await run({ apply: false })
    expect(report).toMatchObject({ applied: false, removed: [{ id: ids[0], instance: 'prom-a', repository: 'primary', reason: expect.stringContaining('not among the last 2') }], kept: [{ id: ids[1], reasons: ['last 2 of 2'] }, { id: ids[2] }], markedBlocks: 1, deletedBlocks: 0 })
    expect(await contentOf(store)).toEqual(before)
  })

  test('counts recovery points of components alone apart, and says so', async () => {
    const { backUp: make, store, expire: run } = scene()
    await knownRepository(store)
    const [older, newer] = [await make(0, 2), await make(1, 3)]
    const etc = await temporaryDirectory('etc')
    const alone: string[] = []
    for (const text of ['one', 'two', 'three']) {
      await writeTree(etc, { 'app.conf': text })
      alone.push((await makeArchive(store, componentsContext([directoryComponent('etc', etc)]))).recoveryPoint.id)
    }
    const { kept, removed } = await run({ apply: false })
    expect(removed).toMatchObject([{ id: alone[0], reason: expect.stringContaining('not among the last 2 of components alone') }])
    const reasonOf = (id: string | undefined) => kept.find((point) => point.id === id)?.reasons[0]
    expect([older, newer, alone[1], alone[2]].map(reasonOf)).toEqual(['last 2 of 2', 'last 1 of 2', 'last 2 of 2 of components alone', 'last 1 of 2 of components alone'])
  })

  test('removes manifests, marks what only they named, and removes that two days later', async () => {
    const { backUp: make, clock, expire: run, ulids, marks } = scene()
    await make(0, 3)
    await make(1, 4)
    await make(2, 5)
    expect(await run()).toMatchObject({ removed: [{}], markedBlocks: 1, deletedBlocks: 0, freedBytes: 0 })
    expect(await marks()).toHaveLength(1)
    clock.advance(deletionDelayMs - 60_000)
    expect(await run()).toMatchObject({ removed: [], markedBlocks: 0, deletedBlocks: 0, repositories: [{ nextRemovalAt: expect.any(String) }] })
    expect(await ulids()).toHaveLength(5)
    clock.advance(120_000)
    const report = await run()
    expect(report).toMatchObject({ deletedBlocks: 1, repositories: [{ waitingBytes: 0, nextRemovalAt: null }] })
    expect(report.freedBytes).toBeGreaterThan(100)
    expect(await ulids()).toHaveLength(4)
    expect(await marks()).toEqual([])
  })

  test('changes nothing the second time', async () => {
    const { backUp: make, clock, expire: run, store } = scene()
    for (const [from, to] of [[0, 3], [3, 6], [6, 9], [8, 11]] as const) await make(from, to, { head: true })
    const unleased = async () => Object.fromEntries(Object.entries(await contentOf(store)).filter(([key]) => !key.includes('/leases/')))
    for (const ageMs of [0, deletionDelayMs + hourMs]) {
      clock.advance(ageMs)
      await run()
      const once = await unleased()
      expect(await run()).toMatchObject({ removed: [], markedBlocks: 0, deletedBlocks: 0, freedBytes: 0 })
      expect(await unleased()).toEqual(once)
    }
  })

  test('removes heads and tombstones that nothing names any more, and keeps those that are shared', async () => {
    const { backUp: make, clock, expire: run, store } = scene(retentionOf({ keepLast: 1 }))
    await make(0, 4, { head: true })
    await make(3, 8, { head: true })
    const privates = async () => (await keysOf(store)).filter((key) => /\/(heads|tombstones)\//.test(key)).map((key) => key.split('/').slice(2, 4).join('/'))
    const before = new Set(await privates())
    expect(await run()).toMatchObject({ repositories: [{ markedObjects: 1 }] })
    clock.advance(deletionDelayMs)
    expect(await run()).toMatchObject({ repositories: [{ deletedObjects: 1, markedObjects: 0 }] })
    const after = new Set(await privates())
    expect([...before].filter((name) => !after.has(name))).toHaveLength(1)
    const { points } = await readRecoveryPoints(store, 'prom-a')
    expect(points).toHaveLength(1)
  })

  test('never removes the newest recovery point, and keeps one that is held', async () => {
    const { backUp: make, expire: run, context, clock } = scene(retentionOf({}))
    const ids = [await make(0, 2), await make(1, 3), await make(2, 4)]
    await hold(context, { id: ids[0] as string, repositories: [], hold: { until: new Date(clock.now().getTime() + hourMs), reason: 'incident' } })
    expect(await run()).toMatchObject({ removed: [{ id: ids[1] }], kept: [{ id: ids[0], reasons: [expect.stringContaining('incident')] }, { id: ids[2], reasons: ['the newest is never removed'] }] })
    clock.advance(2 * hourMs)
    expect(await run()).toMatchObject({ removed: [{ id: ids[0] }] })
  })

  test('keeps a recovery point that was held after it was judged', async () => {
    const { backUp: make, expire: run, context, store } = scene(retentionOf({}))
    const first = await make(0, 2)
    await make(1, 3)
    const until = new Date(startMs + 90 * 24 * hourMs)
    let written = false
    context.repositories[0]!.store = {
      ...store,
      async head(key, options) {
        // Just before the manifest goes.
        if (key.includes('/holds/') && !written) {
          written = true
          await hold({ ...context, repositories: [{ name: 'primary', store }] }, { id: first, repositories: [], hold: { until, reason: 'just in time' } })
        }
        return store.head(key, options)
      },
      async get(key, options) {
        if (key.includes('/holds/') && !written) {
          written = true
          await store.put(key, bytesBody(Buffer.from('')))
          await hold({ ...context, clock: { ...context.clock, sleep: async () => {} }, repositories: [{ name: 'primary', store }] }, { id: first, repositories: [], hold: { until, reason: 'just in time' } })
        }
        return store.get(key, options)
      },
    }
    expect(await run()).toMatchObject({ removed: [], kept: [{ id: first, reasons: ['held: just in time'] }, {}] })
    expect((await readRecoveryPoints(store, 'prom-a')).points).toHaveLength(2)
  })

  test('leaves blocks alone that other instances name, and tidies what belongs to none', async () => {
    const { backUp: make, clock, expire: run, ulids, store } = scene(retentionOf({ keepLast: 1 }))
    await make(0, 3, { instance: 'prom-b' })
    await make(0, 2)
    await make(2, 4)
    const stray = '01HZZZZZZZZZZZZZZZZZZZZZZZ'
    await store.put(`blocks/${stray}/chunks/000001`, bytesBody(Buffer.from('a part of an upload that died')))
    expect(await run()).toMatchObject({ removed: [{ instance: 'prom-a' }], markedBlocks: 3 })
    clock.advance(deletionDelayMs)
    expect(await run()).toMatchObject({ deletedBlocks: 3 })
    expect(await ulids()).toHaveLength(5)
    expect((await readRecoveryPoints(store, 'prom-b')).points).toHaveLength(1)
  })

  test('removes nothing while a manifest of any instance cannot be read, and says which', async () => {
    const { backUp: make, expire: run, store } = scene()
    const other = await make(0, 2, { instance: 'prom-b' })
    for (const from of [0, 1, 2]) await make(from, from + 2)
    await garble(store, `instances/prom-b/recovery-points/${other}.json`)
    const manifests = (await keysOf(store)).filter((key) => key.includes('/recovery-points/'))
    await expect(run()).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining(other) })
    expect((await keysOf(store)).filter((key) => key.includes('/recovery-points/'))).toEqual(manifests)
    await expect(run({ apply: false })).rejects.toMatchObject({ code: 'DAMAGED' })
  })

  test('says of many that cannot be read which are the first, and how many there are', async () => {
    const { backUp: make, expire: run, store } = scene()
    const id = await make(0, 2)
    for (let nth = 0; nth < 12; nth += 1) await store.put(`instances/prom-a/recovery-points/${id.slice(0, -2)}${10 + nth}.json`, bytesBody(Buffer.from('x')))
    await expect(run()).rejects.toMatchObject({ message: expect.stringMatching(/^(\S+, ){4}\S+ and 7 more cannot be read/), details: { keys: expect.objectContaining({ length: 12 }) } })
  })

  test('marks nothing that the intent of a running backup names, until that backup has been dead for two days', async () => {
    const { backUp: make, clock, expire: run, store, ulids } = scene()
    await make(0, 2, { instance: 'prom-b' })
    await make(0, 2)
    const stray = '01HZZZZZZZZZZZZZZZZZZZZZZZ'
    await store.put(`blocks/${stray}/index`, bytesBody(Buffer.from('being uploaded')))
    await writeIntent(store, 'prom-b', { id: '20260204T000000Z-aaaaaaaa', refreshedAt: clock.now().toISOString(), blocks: [stray], heads: [], archives: [] })
    expect(await run()).toMatchObject({ markedBlocks: 0 })
    clock.advance(deletionDelayMs - hourMs)
    expect(await run({ allInstances: true })).toMatchObject({ markedBlocks: 0 })
    clock.advance(hourMs)
    expect(await run({ allInstances: true })).toMatchObject({ markedBlocks: 1, deletedBlocks: 0 })
    expect((await keysOf(store)).filter((key) => key.includes('/intents/'))).toEqual([])
    clock.advance(deletionDelayMs)
    expect(await run()).toMatchObject({ deletedBlocks: 1 })
    expect(await ulids()).not.toContain(stray)
  })

  test('takes back the mark of a block that is named again', async () => {
    const { backUp: make, clock, expire: run, marks } = scene(retentionOf({ keepLast: 1 }))
    await make(0, 2)
    await make(2, 4)
    expect(await run()).toMatchObject({ markedBlocks: 2 })
    await make(0, 4)
    expect((await marks()).filter((key) => key.startsWith('blocks/'))).toEqual([])
    clock.advance(2 * deletionDelayMs)
    expect(await run()).toMatchObject({ deletedBlocks: 0 })
  })

  test('stores anew what was named again too late to take its mark back', async () => {
    const { backUp: make, clock, expire: run, store } = scene(retentionOf({ keepLast: 1 }))
    await make(0, 4)
    await make(4, 6)
    await run()
    clock.advance(deletionDelayMs - hourMs)
    await make(0, 4)
    clock.advance(2 * hourMs)
    expect(await run()).toMatchObject({ deletedBlocks: 0 })
    const { points } = await readRecoveryPoints(store, 'prom-a')
    const keys = new Set(await keysOf(store))
    for (const block of points[0]?.blocks ?? []) for (const path of Object.keys(block.files)) expect(keys).toContain(`blocks/${block.ulid}/${path}`)
    for (const { tombstones } of points[0]?.blocks ?? []) if (tombstones !== undefined) expect(keys).toContain(`instances/prom-a/tombstones/${tombstones.sha256}`)
  })

  test('holds a lease of its own: two of one instance do not run at once, a dry run runs beside', async () => {
    const { backUp: make, expire: run, store } = scene()
    await make(0, 2)
    const lease = await acquireLease({ store, instance: 'prom-a', verb: 'expire', holder: thisProcess(), isDead: () => false })
    await expect(run()).rejects.toMatchObject({ code: 'LOCKED' })
    expect(await run({ apply: false })).toMatchObject({ removed: [] })
    await lease.release()
    expect(await run()).toMatchObject({ removed: [] })
  })

  test('of an instance that is not there writes nothing', async () => {
    const { backUp: make, expire: run, store } = scene()
    await make(0, 2)
    const before = await contentOf(store)
    await expect(run({ instance: 'prom-z' })).rejects.toMatchObject({ code: 'INSTANCE_NOT_FOUND', hint: expect.stringContaining('prom-a') })
    expect(await contentOf(store)).toEqual(before)
  })

  test('judges each repository by itself, and goes on when one fails', async () => {
    const one = scene(retentionOf({ keepLast: 1 }))
    await one.backUp(0, 2)
    await one.backUp(1, 3)
    one.context.repositories.push({ name: 'empty', store: createMemoryStore(), retention: retentionOf({ keepLast: 5 }) })
    expect(await one.expire()).toMatchObject({ removed: [{ repository: 'primary' }], repositories: [{ name: 'primary', ok: true }, { name: 'empty', ok: false, error: { code: 'REPOSITORY_NOT_FOUND' } }] })
    expect(await one.expire({ repositories: ['primary'] })).toMatchObject({ repositories: [{ ok: true }] })
  })

  test('removes what is sealed, on a host without the key too, but for deletions, which it could not put back', async () => {
    const { recipient, identity } = await newKeyPair()
    const identityFile = await writeIdentityFile(directory, identity)
    const { backUp: make, clock, expire: run, store, context } = scene(retentionOf({ keepLast: 1 }))
    const sealed = (keys: object) => createEncryptingStore(store, { sealing: sealingWith([recipient], keys), seals: isDataKey, write: true })
    await make(0, 4, { head: true, store: sealed({ identityFile }) })
    await make(4, 7, { head: true, store: sealed({ identityFile }) })
    context.repositories[0]!.store = sealed({})
    const sealedKeys = async (part: string) => (await keysOf(store)).filter((key) => key.includes(part) && key.endsWith('.age')).length
    const [heads, tombstones] = [await sealedKeys('/heads/'), await sealedKeys('/tombstones/')]
    expect(await run()).toMatchObject({ removed: [{}], markedBlocks: 3 })
    clock.advance(deletionDelayMs)
    expect(await run()).toMatchObject({ deletedBlocks: 3 })
    expect([await sealedKeys('/heads/'), await sealedKeys('/tombstones/')]).toEqual([heads / 2, tombstones])
    context.repositories[0]!.store = sealed({ identityFile })
    await run()
    clock.advance(deletionDelayMs)
    await run()
    expect(unnamedIn({ objects: new Map([...store.objects].map(([key, object]) => [key.replace(/\.age$/, ''), object])) })).toEqual([])
  })

  test('begins a mark anew that cannot be read', async () => {
    const { backUp: make, clock, expire: run, store, marks } = scene(retentionOf({ keepLast: 1 }))
    await make(0, 2)
    await make(2, 4)
    await run()
    const [mark = ''] = (await marks()).filter((key) => key.startsWith('blocks/'))
    await store.put(mark, bytesBody(Buffer.from('{')))
    clock.advance(deletionDelayMs)
    expect(await run()).toMatchObject({ deletedBlocks: 1 })
    clock.advance(deletionDelayMs)
    expect(await run()).toMatchObject({ deletedBlocks: 1 })
  })
})
