import { describe, expect, test } from 'vitest'
import { recoveryPointId } from '../../src/domain/recovery-point.ts'
import { createDocument } from '../../src/repository/documents.ts'
import { manifestVersion, toManifest } from '../../src/repository/recovery-point-schema.ts'
import { commitRecoveryPoint, listInstances, listRecoveryPointIds, readRecoveryPoint, readRecoveryPoints } from '../../src/repository/recovery-points.ts'
import { sealJson } from '../../src/repository/sealed-json.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import { createFaultyStore } from '../fakes/faulty-store.ts'
import { firstMs, hourMs, namedBlock, storedRecoveryPoint } from '../fakes/recovery-points.ts'
import { keysOf, readText } from '../support/bodies.ts'
import { describeOnBothStores, garble, overwrite } from '../support/both-stores.ts'

const at = (hours: number) => {
  const createdAt = firstMs + hours * hourMs
  return storedRecoveryPoint({ createdAt, id: recoveryPointId(new Date(createdAt), 'a1b2c3') })
}
const keyOf = (id: string) => `instances/prom-a/recovery-points/${id}.json`
const point = storedRecoveryPoint({
  blocks: [namedBlock(0, { tombstones: { sha256: 'f'.repeat(64), sizeBytes: 22 } }), namedBlock(1, { inOrder: false })],
  head: { kind: 'block', block: namedBlock(2) },
  tiers: ['hourly', 'daily'],
})

describeOnBothStores('a recovery point', (open) => {
  test.each([
    ['with a head block', point],
    ['with an empty head', at(1)],
    ['without its head', { ...at(1), head: { kind: 'omitted' as const } }],
    ['of an empty server', storedRecoveryPoint({ blocks: [], minTime: null, maxTime: null })],
    ['with samples before 1970', storedRecoveryPoint({ minTime: -7_200_000, blocks: [namedBlock(0, { minTime: -7_200_000, maxTime: -1 })] })],
  ])('comes back as it was committed: %s', async (_, committed) => {
    const store = await open()
    const sizeBytes = await commitRecoveryPoint(store, committed)
    expect(await readRecoveryPoint(store, 'prom-a', { id: committed.id })).toEqual(committed)
    expect(await store.head(keyOf(committed.id))).toMatchObject({ sizeBytes })
  })

  test('exists when its manifest does, and not before', async () => {
    const store = await open()
    await expect(readRecoveryPoint(store, 'prom-a', { id: point.id })).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
    const faulty = createFaultyStore(store, [{ verb: 'create', call: 1, at: 100 }])
    await expect(commitRecoveryPoint(faulty, point)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
    expect(faulty.fired.length).toBe(1)
    expect(await readRecoveryPoints(store, 'prom-a')).toEqual({ points: [], damaged: [] })
    await commitRecoveryPoint(store, point)
    expect((await readRecoveryPoints(store, 'prom-a')).points).toEqual([point])
  })

  test('is never changed: a second one of the same id is refused', async () => {
    const store = await open()
    await commitRecoveryPoint(store, point)
    await commitRecoveryPoint(store, point)
    await expect(commitRecoveryPoint(store, { ...point, tiers: [] })).rejects.toMatchObject({ code: 'OBJECT_EXISTS' })
  })

  test('is read when another program added fields to its manifest', async () => {
    const store = await open()
    await createDocument(store, keyOf(point.id), { ...toManifest(point), note: 'x', source: { ...point.source, note: 'y' } })
    expect(await readRecoveryPoint(store, 'prom-a', { id: point.id })).toMatchObject({ id: point.id })
  })

  test('of a newer version is too new, not damaged, also where its fields are others', async () => {
    const store = await open()
    await createDocument(store, keyOf(point.id), { ...toManifest(point), version: manifestVersion + 1, archives: [{ sha256: 'x' }], blocks: 'elsewhere' })
    await expect(readRecoveryPoint(store, 'prom-a', { id: point.id })).rejects.toMatchObject({ code: 'REPOSITORY_TOO_NEW', hint: expect.stringContaining('upgrade') })
    await expect(readRecoveryPoints(store, 'prom-a')).rejects.toMatchObject({ code: 'REPOSITORY_TOO_NEW' })
  })

  test('that was moved to another id or another instance is damaged', async () => {
    const store = await open()
    await commitRecoveryPoint(store, point)
    const text = await readText(store, keyOf(point.id))
    const other = at(9)
    await overwrite(store, keyOf(other.id), text)
    await overwrite(store, `instances/prom-b/recovery-points/${point.id}.json`, text)
    for (const [instance, id] of [['prom-a', other.id], ['prom-b', point.id]] as const) {
      await expect(readRecoveryPoint(store, instance, { id })).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining(`is the manifest of prom-a/${point.id}: it was moved or copied`) })
    }
  })

  test('that is damaged does not hide the others, and is reported', async () => {
    const store = await open()
    const all = [at(1), at(2), at(3), at(4)]
    for (const one of all) await commitRecoveryPoint(store, one)
    const [first, second, third, fourth] = all.map((one) => keyOf(one.id)) as [string, string, string, string]
    await garble(store, second)
    await overwrite(store, third, (await readText(store, third)).slice(0, 300))
    await overwrite(store, 'instances/prom-a/recovery-points/20261321T000000Z-00000000.json', 'x')
    const { points, damaged } = await readRecoveryPoints(store, 'prom-a')
    expect(points).toEqual([all[0], all[3]])
    expect(damaged.map((one) => one.key).sort()).toEqual([second, third, 'instances/prom-a/recovery-points/20261321T000000Z-00000000.json'].sort())
    expect(damaged.find((one) => one.key === second)?.reason).toContain(second)
    expect(first < fourth).toBe(true)
  })

  test('that vanishes while they are read has expired: it is neither there nor damaged', async () => {
    const store = await open()
    for (const one of [at(1), at(2)]) await commitRecoveryPoint(store, one)
    const watched = createFaultyStore(store, [])
    const get = watched.get.bind(watched)
    watched.get = async (...args) => {
      await store.delete([keyOf(at(1).id)])
      return get(...args)
    }
    expect(await readRecoveryPoints(watched, 'prom-a')).toEqual({ points: [at(2)], damaged: [] })
  })

  test('is not taken for damaged when the store fails', async () => {
    const store = await open()
    await commitRecoveryPoint(store, point)
    const faulty = createFaultyStore(store, [{ verb: 'get', call: 1, at: 'before' }])
    await expect(readRecoveryPoints(faulty, 'prom-a')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
  })
})

describeOnBothStores('the list of recovery points', (open) => {
  test('is in the order in which they were made, a hundred as well as one', async () => {
    const store = await open()
    const all = Array.from({ length: 100 }, (_, hours) => at(hours))
    for (const one of [...all].reverse()) await commitRecoveryPoint(store, one)
    expect(await listRecoveryPointIds(store, 'prom-a')).toEqual({ ids: all.map((one) => one.id), strange: [] })
    expect((await readRecoveryPoints(store, 'prom-a')).points.map((one) => one.id)).toEqual(all.map((one) => one.id))
  })

  test('tells what lies among them and is none', async () => {
    const store = await open()
    const strange = [`${point.id}.json.bak`, `${point.id}/x.json`, 'latest.json'].map((name) => `instances/prom-a/recovery-points/${name}`)
    for (const key of strange) await overwrite(store, key, '{}')
    expect(await listRecoveryPointIds(store, 'prom-a')).toEqual({ ids: [], strange: [...strange].sort() })
  })

  test('is empty for an instance that is not there', async () => {
    expect(await readRecoveryPoints(await open(), 'nobody')).toEqual({ points: [], damaged: [] })
  })

  test('has the instances under which anything was stored, but nothing that is no name', async () => {
    const store = await open()
    for (const name of ['prom-b', 'prom-a', ' odd', '.hidden']) await overwrite(store, `instances/${name}/instance.json`, 'x')
    expect(await listInstances(store)).toEqual(['prom-a', 'prom-b'])
  })
})

describe('a hostile manifest', () => {
  const hostile = (change: (manifest: any) => void) => {
    const manifest = structuredClone(toManifest(point))
    change(manifest)
    return manifest
  }
  const block = (change: (block: any) => void) => hostile((manifest) => change(manifest.blocks[0]))
  const files = (names: string[]) => block((one) => (one.files = { index: 1, 'meta.json': 1, ...Object.fromEntries(names.map((name) => [name, 1])) }))

  test.each<[string, object]>([
    ['a file outside its block', files(['../../../etc/cron.d/x'])],
    ['an absolute path', files(['/etc/cron.d/x'])],
    ['a path with a dot segment', files(['chunks/../index'])],
    ['another file of a block directory', files(['tombstones'])],
    ['a deletion mark', files(['deletion-mark.json'])],
    ['a chunk file with a number of seven digits', files(['chunks/0000001'])],
    ['a chunk file with a line end', files(['chunks/000001\n'])],
    ['a file with a backslash', files(['chunks\\000001'])],
    ['a block without index', block((one) => (one.files = { 'meta.json': 1 }))],
    ['a block without meta.json', block((one) => (one.files = { index: 1 }))],
    ['a file of a negative size', block((one) => (one.files.index = -1))],
    ['a file of a size that is no number', block((one) => (one.files.index = '1'))],
    ['a file of more bytes than can be counted', block((one) => (one.files.index = 2 ** 60))],
    ['a ULID that is a path', block((one) => (one.ulid = '../../etc/cron.d/xxxxxxxxx'))],
    ['a ULID of 129 bits', block((one) => (one.ulid = '8'.padEnd(26, '0')))],
    ['a ULID in lower case', block((one) => (one.ulid = one.ulid.toLowerCase()))],
    ['one block twice', hostile((manifest) => manifest.blocks.push(manifest.blocks[0]))],
    ['a block as its head too', hostile((manifest) => (manifest.head.block = manifest.blocks[0]))],
    ['a block without a time range', block((one) => (one.maxTime = one.minTime))],
    ['a time beyond what dates hold', block((one) => (one.maxTime = 9e15))],
    ['a newest sample beyond what dates hold', hostile((manifest) => (manifest.maxTime = 8.64e15 + 1))],
    ['tombstones whose digest is a path', block((one) => (one.tombstones = { sha256: '../../etc/cron.d/x', sizeBytes: 1 }))],
    ['a digest of meta.json that is none', block((one) => (one.metaSha256 = 'x'.repeat(64)))],
    ['a head that names a path', hostile((manifest) => (manifest.head.block.ulid = '../x'))],
    ['a head of an unknown kind', hostile((manifest) => (manifest.head = { kind: 'elsewhere', path: '/etc' }))],
    ['an instance that is a path', hostile((manifest) => (manifest.instance = '../prom-a'))],
    ['an unknown tier', hostile((manifest) => (manifest.tiers = ['eternal']))],
    ['a time of making that is none', hostile((manifest) => (manifest.createdAt = 'yesterday'))],
    ['an owner below zero', hostile((manifest) => (manifest.source.owner.uid = -1))],
    ['no version', hostile((manifest) => delete manifest.version)],
    ['a list instead of fields', { ...[1, 2, 3] }],
  ])('that names %s is damaged', async (_, manifest) => {
    const store = createMemoryStore()
    await overwrite(store, keyOf(point.id), sealJson(manifest))
    await expect(readRecoveryPoint(store, 'prom-a', { id: point.id })).rejects.toMatchObject({ code: 'DAMAGED', details: { key: keyOf(point.id) } })
    expect((await readRecoveryPoints(store, 'prom-a')).damaged.map((one) => one.key)).toEqual([keyOf(point.id)])
  })

  test('is what these tests change: unchanged it is read', async () => {
    const store = createMemoryStore()
    await overwrite(store, keyOf(point.id), sealJson(hostile(() => {})))
    expect(await readRecoveryPoint(store, 'prom-a', { id: point.id })).toEqual(point)
  })

  test('that is oversized is damaged', async () => {
    const store = createMemoryStore()
    await overwrite(store, keyOf(point.id), Buffer.alloc(64 * 1024 * 1024 + 1, ' '))
    await expect(readRecoveryPoint(store, 'prom-a', { id: point.id })).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('has 67108865 bytes') })
  })

  test.each(['../../../prom-dr', '20261121T023615Z-79535be5/../x', ''])('cannot be asked for by the id %j', async (id) => {
    await expect(readRecoveryPoint(createMemoryStore(), 'prom-a', { id })).rejects.toMatchObject({ code: 'KEY_INVALID' })
  })
})

test('a recovery point that could not be read again is not committed', async () => {
  const store = createMemoryStore()
  const broken = { ...point, blocks: [namedBlock(0, { numSamples: Number.NaN })] }
  await expect(commitRecoveryPoint(store, broken)).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining('blocks.0.numSamples') })
  expect(await keysOf(store)).toEqual([])
})
