import { newUlid } from '../../src/domain/ulid.ts'
import { createHash } from 'node:crypto'
import pLimit from 'p-limit'
import { describe, expect, test } from 'vitest'
import type { NamedBlock } from '../../src/domain/recovery-point.ts'
import { PromDrError } from '../../src/errors.ts'
import { deletionDelayMs, deletionMarginMs } from '../../src/repository/deletion-marks.ts'
import { blockPrefix, deletionMarkKey } from '../../src/repository/layout.ts'
import { type BlockUpload, listBlockUlids, listBlocks, listFiles, missingFile, readStoredMeta, recheckBlocks, removeMarkedBlock, settleAll, unmarkBlock, uploadBlock } from '../../src/repository/stored-blocks.ts'
import { createMemoryStore } from '../../src/stores/memory-store.ts'
import type { ObjectStore } from '../../src/stores/object-store.ts'
import { type StoreFault, createFaultyStore } from '../fakes/faulty-store.ts'
import { createManualClock } from '../fakes/manual-clock.ts'
import { namedBlock } from '../fakes/recovery-points.ts'
import { keysOf, patternBody, textBody } from '../support/bodies.ts'
import { contentOf, describeOnBothStores, garble, overwrite } from '../support/both-stores.ts'

const block = namedBlock(0)
const prefix = blockPrefix(block.ulid)
const content: Record<string, string> = { index: 'i'.repeat(300), 'chunks/000001': 'c'.repeat(900), 'chunks/000002': 'd'.repeat(500) }
const totalBytes = 1_700

function uploadOf(more: Partial<BlockUpload> = {}): BlockUpload {
  return {
    prefix,
    files: Object.entries(content).map(([relPath, text]) => ({ relPath, body: textBody(text) })),
    metaText: (files) => `${JSON.stringify(files)}\n`,
    limit: (task) => task(),
    ...more,
  }
}

const mark = (at: number, ulid = block.ulid) => JSON.stringify({ id: ulid, version: 1, deletion_time: Math.floor(at / 1000) })
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

describeOnBothStores('a block', (open) => {
  test('is stored file by file, its meta.json last, and the manifest learns its sizes and digest', async () => {
    const store = createFaultyStore(await open(), [])
    const uploaded = await uploadBlock(store, uploadOf())
    expect(store.calls.filter((call) => call.verb === 'create').at(-1)?.key).toBe(`${prefix}meta.json`)
    const stored = await contentOf(store)
    const meta = stored[`${prefix}meta.json`] as string
    expect(uploaded).toEqual({
      files: { index: 300, 'chunks/000001': 900, 'chunks/000002': 500, 'meta.json': meta.length },
      metaSha256: sha256(meta), uploadedBytes: totalBytes + meta.length, replaced: [],
    })
    expect(JSON.parse(meta)).toEqual(Object.entries(content).map(([relPath, text]) => ({ relPath, sizeBytes: text.length, sha256: sha256(text) })))
    for (const [relPath, text] of Object.entries(content)) expect(stored[`${prefix}${relPath}`]).toBe(text)
  })

  test('that is stored already costs nothing', async () => {
    const store = await open()
    const first = await uploadBlock(store, uploadOf())
    const before = await contentOf(store)
    expect(await uploadBlock(store, uploadOf())).toEqual({ ...first, uploadedBytes: 0 })
    expect(await contentOf(store)).toEqual(before)
  })

  test('whose upload broke off is completed: only what is missing is stored', async () => {
    const store = await open()
    const faulty = createFaultyStore(store, [{ verb: 'create', key: /000002/, call: 1, at: 100 }])
    await expect(uploadBlock(faulty, uploadOf())).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
    expect(faulty.fired.length).toBe(1)
    expect(await keysOf(store)).toEqual([`${prefix}chunks/000001`, `${prefix}index`])
    const { uploadedBytes, files } = await uploadBlock(store, uploadOf())
    expect(uploadedBytes).toBe(500 + (files['meta.json'] as number))
  })

  test('is no block after a fault at any call, and whole after the next run', async () => {
    const undisturbed = await open()
    const clean = createFaultyStore(undisturbed, [])
    const wanted = await uploadBlock(clean, uploadOf())
    const whole = await contentOf(undisturbed)
    const faults = clean.calls.flatMap((_, index): StoreFault[] => (['before', 7, 'after'] as const).map((at) => ({ verb: 'any', call: index + 1, at, key: /./ })))
    expect(faults.length).toBe(12)
    for (const fault of faults) {
      const store = await open()
      const faulty = createFaultyStore(store, [fault])
      await expect(uploadBlock(faulty, uploadOf())).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
      expect(faulty.fired).toEqual([fault])
      const left = await contentOf(store)
      if (left[`${prefix}meta.json`] !== undefined) expect(left).toEqual(whole)
      const { uploadedBytes: _, ...uploaded } = await uploadBlock(store, uploadOf())
      const { uploadedBytes: __, ...expected } = wanted
      expect(uploaded).toEqual(expected)
      expect(await contentOf(store)).toEqual(whole)
    }
  })

  test('under whose name other bytes were left replaces them, and says so', async () => {
    const store = await open()
    await overwrite(store, `${prefix}index`, 'left by something else')
    await overwrite(store, `${prefix}chunks/000001`, content['chunks/000001'] as string)
    const uploaded = await uploadBlock(store, uploadOf())
    expect(uploaded.replaced).toEqual([`${prefix}index`])
    expect((await contentOf(store))[`${prefix}index`]).toBe(content['index'])
    expect(uploaded.uploadedBytes).toBe(300 + 500 + (uploaded.files['meta.json'] as number))
  })

  test('reports every byte once, whatever was there already', async () => {
    for (const prepare of [async () => {}, uploadWhole, leaveOtherBytes]) {
      const store = await open()
      await prepare(store)
      let sum = 0
      let lowest = 0
      const { files } = await uploadBlock(store, uploadOf({ onProgress: (bytes) => (lowest = Math.min(lowest, (sum += bytes))) }))
      expect({ sum, lowest }).toEqual({ sum: totalBytes + (files['meta.json'] as number), lowest: 0 })
    }
  })

  test('is given up when the run is interrupted, and nothing goes on after that', async () => {
    const store = await open()
    const interruption = new AbortController()
    const limit = pLimit(1)
    const upload = uploadOf({ signal: interruption.signal, limit: (task) => limit(task), files: [{ relPath: 'index', body: textBody('i') }, { relPath: 'chunks/000001', body: patternBody(2_000_000) }, { relPath: 'chunks/000002', body: textBody('d') }], onProgress: () => interruption.abort() })
    await expect(uploadBlock(store, upload)).rejects.toMatchObject({ code: 'INTERRUPTED' })
    expect(limit.activeCount + limit.pendingCount).toBe(0)
    expect(await keysOf(store)).not.toContain(`${prefix}meta.json`)
  })

  test('whose source changed while it was read is not stored', async () => {
    const store = await open()
    const changed = { ...textBody('short'), sizeBytes: 900 }
    await expect(uploadBlock(store, uploadOf({ files: [{ relPath: 'index', body: textBody('i') }, { relPath: 'chunks/000001', body: changed }] }))).rejects.toMatchObject({ code: 'FILE_SYSTEM' })
    expect(await keysOf(store)).toEqual([`${prefix}index`])
  })
})

async function uploadWhole(store: ObjectStore): Promise<void> {
  await uploadBlock(store, uploadOf())
}

async function leaveOtherBytes(store: ObjectStore): Promise<void> {
  for (const path of Object.keys(content)) await overwrite(store, `${prefix}${path}`, 'x'.repeat(700))
}

async function storeAt(store: ObjectStore, at: number): Promise<NamedBlock> {
  const one = namedBlock(at, { files: { index: 3, 'chunks/000001': 5, 'meta.json': 4 } })
  for (const [path, sizeBytes] of Object.entries(one.files)) await overwrite(store, `${blockPrefix(one.ulid)}${path}`, 'x'.repeat(sizeBytes))
  return one
}

/** The name of another block of the same time. */
function neighbourOf(blocks: readonly NamedBlock[], at: number): string {
  return `${(blocks[at % blocks.length] as NamedBlock).ulid.slice(0, 20)}Z${String(at).padStart(5, '0')}`
}

describeOnBothStores('stored blocks', (open) => {
  test('are known by their ULIDs; what lies beside them is none', async () => {
    const store = await open()
    const one = await storeAt(store, 1)
    await overwrite(store, `${blockPrefix(namedBlock(2).ulid)}index`, 'partial')
    await overwrite(store, 'blocks/debug/metas.json', 'x')
    await overwrite(store, 'blocks/notes.txt', 'x')
    expect(await listBlockUlids(store)).toEqual(new Set([one.ulid, namedBlock(2).ulid]))
  })

  test.each([
    { way: 'in pages', listsInPages: true, count: 4, mostListings: 4 },
    { way: 'in pages', listsInPages: true, count: 3000, mostListings: 256 },
    { way: 'by a walk', listsInPages: false, count: 1000, mostListings: 1000 },
    { way: 'by a walk', listsInPages: false, count: 1001, mostListings: 1 },
  ])('are listed $way with the sizes of their files, and whether they are marked: $count of them', async ({ listsInPages, count, mostListings }) => {
    const store = createMemoryStore()
    const blocks: NamedBlock[] = []
    for (let at = 0; at < 3; at += 1) blocks.push(await storeAt(store, at))
    const [first, second] = blocks as [NamedBlock, NamedBlock]
    await overwrite(store, deletionMarkKey(second.ulid), 'x')
    await overwrite(store, `blocks/${first.ulid}x/index`, 'no block')
    await overwrite(store, 'blocks/zz', 'no block')
    const absent = Array.from({ length: count - 3 }, (_, at) => newUlid(1_700_000_000_000 + at * 7_200_000, Buffer.alloc(10, at % 256)))
    const counting = createFaultyStore({ ...store, listsInPages }, [])
    const found = await listBlocks(counting, [...blocks.map((one) => one.ulid), ...absent])
    expect(counting.calls.length).toBeLessThanOrEqual(mostListings)
    expect(found.size).toBe(count)
    expect(found.get(absent[0] as string)).toEqual({ files: new Map(), marked: false })
    for (const one of blocks) expect(found.get(one.ulid)).toEqual({ files: new Map(Object.entries(one.files)), marked: one === second })
  })

  test('are listed each for itself where far more of others lie among them', async () => {
    const store = createMemoryStore()
    const blocks: NamedBlock[] = []
    for (let at = 0; at < 20; at += 1) blocks.push(await storeAt(store, at))
    for (let at = 0; at < 2500; at += 1) await overwrite(store, `blocks/${neighbourOf(blocks, at)}/index`, 'x')
    const counting = createFaultyStore({ ...store, listsInPages: true }, [])
    const found = await listBlocks(counting, blocks.map((one) => one.ulid))
    expect(counting.calls.filter(({ key }) => key.endsWith('/'))).toHaveLength(20)
    for (const one of blocks) expect(found.get(one.ulid)).toEqual({ files: new Map(Object.entries(one.files)), marked: false })
  })

  test('are listed alike for few and for many, on a directory too', async () => {
    const store = await open()
    const one = await storeAt(store, 1)
    const others = Array.from({ length: 1005 }, (_, at) => newUlid(1_700_000_000_000 + at * 7_200_000, Buffer.alloc(10, 1)))
    expect((await listBlocks(store, [one.ulid, ...others])).get(one.ulid)).toEqual((await listBlocks(store, [one.ulid])).get(one.ulid))
    expect(await listFiles(store, blockPrefix(one.ulid))).toEqual((await listBlocks(store, [one.ulid])).get(one.ulid))
  })

  test('are rechecked before they are named: all is well', async () => {
    const store = await open()
    await recheckBlocks(store, [await storeAt(store, 1), await storeAt(store, 2)])
    await recheckBlocks(store, [])
  })

  test('lose a mark that was made meanwhile: whoever made it had looked before there was an intent', async () => {
    const store = await open()
    const one = await storeAt(store, 1)
    await overwrite(store, deletionMarkKey(one.ulid), mark(Date.now(), one.ulid))
    await recheckBlocks(store, [one])
    expect((await listFiles(store, blockPrefix(one.ulid))).marked).toBe(false)
  })

  test.each<[string, (store: ObjectStore, one: NamedBlock) => Promise<void>, string]>([
    ['lost its meta.json', (store, one) => store.delete([`${blockPrefix(one.ulid)}meta.json`]), 'lost meta.json: it is missing'],
    ['lost a chunk file', (store, one) => store.delete([`${blockPrefix(one.ulid)}chunks/000001`]), 'lost chunks/000001: it is missing'],
    ['has an index of another size', (store, one) => overwrite(store, `${blockPrefix(one.ulid)}index`, 'xx'), 'lost index: it has 2 bytes instead of 3'],
    ['was marked long ago', (store, one) => overwrite(store, deletionMarkKey(one.ulid), mark(Date.now() - deletionDelayMs, one.ulid)), 'was marked for deletion'],
    ['is gone', (store, one) => removeMarkedBlock(store, one.ulid), 'lost index: it is missing'],
  ])('stop the backup when one of them %s meanwhile', async (_, change, reason) => {
    const store = await open()
    const blocks = [await storeAt(store, 1), await storeAt(store, 2)]
    await change(store, blocks[1] as NamedBlock)
    await expect(recheckBlocks(store, blocks)).rejects.toMatchObject({ code: 'CONTENTION', message: expect.stringContaining(`block ${blocks[1]?.ulid} ${reason} while the backup ran`) })
  })
})

describe('what is missing of a block', () => {
  test('is nothing when every file has its size; other files do not matter', () => {
    expect(missingFile({ index: 1 }, { files: new Map([['index', 1], ['extra', 9]]), marked: false })).toBeUndefined()
  })

  test('is its first file when nothing is stored', () => {
    expect(missingFile({ index: 1, 'meta.json': 2 }, undefined)).toEqual({ path: 'index', reason: 'it is missing' })
  })

  test('is a file that is empty', () => {
    expect(missingFile({ index: 1 }, { files: new Map([['index', 0]]), marked: false })).toEqual({ path: 'index', reason: 'it has 0 bytes instead of 1' })
  })
})

describeOnBothStores('a deletion mark', (open) => {
  test('is taken back while it is young', async () => {
    const store = await open()
    const one = await storeAt(store, 1)
    expect(await unmarkBlock(store, one.ulid)).toBe(true)
    await overwrite(store, deletionMarkKey(one.ulid), mark(Date.now() - 3_600_000))
    expect(await unmarkBlock(store, one.ulid)).toBe(true)
    expect((await listFiles(store, blockPrefix(one.ulid))).marked).toBe(false)
    await recheckBlocks(store, [one])
  })

  test('is left where it is when it is old: the block counts as absent', async () => {
    const store = await open()
    const one = await storeAt(store, 1)
    await overwrite(store, deletionMarkKey(one.ulid), mark(Date.now() - deletionDelayMs + deletionMarginMs - 1_000))
    expect(await unmarkBlock(store, one.ulid)).toBe(false)
    expect((await listFiles(store, blockPrefix(one.ulid))).marked).toBe(true)
  })

  test('that cannot be read is neither taken back nor ignored', async () => {
    const store = await open()
    const one = await storeAt(store, 1)
    await overwrite(store, deletionMarkKey(one.ulid), '{"id":')
    await expect(unmarkBlock(store, one.ulid)).rejects.toMatchObject({ code: 'DAMAGED' })
    expect((await listFiles(store, blockPrefix(one.ulid))).marked).toBe(true)
  })

  test('goes last when its block is removed, and meta.json first, also when that is interrupted at any call', async () => {
    const prepare = async () => {
      const store = await open()
      await storeAt(store, 1)
      await storeAt(store, 2)
      await overwrite(store, deletionMarkKey(namedBlock(1).ulid), mark(0))
      return store
    }
    const doomed = blockPrefix(namedBlock(1).ulid)
    const undisturbed = await prepare()
    const clean = createFaultyStore(undisturbed, [])
    await removeMarkedBlock(clean, namedBlock(1).ulid)
    expect(clean.calls.map((call) => call.key.replaceAll(doomed, ''))).toEqual(['', 'meta.json', 'chunks/000001 index', 'deletion-mark.json'])
    const rest = await contentOf(undisturbed)
    expect(Object.keys(rest).length).toBe(3)
    for (let call = 1; call <= clean.calls.length; call += 1) {
      for (const at of ['before', 'after'] as const) {
        const store = await prepare()
        const faulty = createFaultyStore(store, [{ verb: 'any', call, at }])
        await expect(removeMarkedBlock(faulty, namedBlock(1).ulid)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
        expect(faulty.fired.length).toBe(1)
        const left = (await keysOf(store)).filter((key) => key.startsWith(doomed))
        if (left.length > 0) expect(left).toContain(deletionMarkKey(namedBlock(1).ulid))
        if (left.includes(`${doomed}meta.json`)) expect(left.length).toBe(4)
        await removeMarkedBlock(store, namedBlock(1).ulid)
        expect(await contentOf(store)).toEqual(rest)
      }
    }
  })
})

test('the age of a mark is judged by the store\'s clock', async () => {
  const clock = createManualClock(new Date('2030-01-01T00:00:00Z'))
  const store = createMemoryStore({ clock })
  const key = deletionMarkKey(block.ulid)
  await overwrite(store, key, mark(clock.now().getTime()))
  clock.advance(deletionDelayMs - deletionMarginMs)
  expect(await unmarkBlock(store, block.ulid)).toBe(false)
  await overwrite(store, key, mark(clock.now().getTime() - deletionDelayMs + deletionMarginMs + 1_000))
  expect(await unmarkBlock(store, block.ulid)).toBe(true)
  expect(await keysOf(store)).toEqual([])
})

describeOnBothStores('a stored meta.json', (open) => {
  const key = `${prefix}meta.json`

  test('is read with its digest', async () => {
    const store = await open()
    await overwrite(store, key, '{}\n')
    expect(await readStoredMeta(store, prefix)).toEqual({ text: '{}\n', sha256: sha256('{}\n'), sizeBytes: 3 })
    expect(await readStoredMeta(store, prefix, { expectedSha256: sha256('{}\n') })).toMatchObject({ text: '{}\n' })
  })

  test('is damaged when the recovery point names another digest', async () => {
    const store = await open()
    await overwrite(store, key, `${'{}'.padEnd(100)}\n`)
    await garble(store, key)
    await expect(readStoredMeta(store, prefix, { expectedSha256: sha256(`${'{}'.padEnd(100)}\n`) })).rejects.toMatchObject({ code: 'DAMAGED', details: { key } })
  })

  test('is damaged when it is oversized, and not found when it is not there', async () => {
    const store = await open()
    await expect(readStoredMeta(store, prefix)).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' })
    await overwrite(store, key, Buffer.alloc(4 * 1024 * 1024 + 1))
    await expect(readStoredMeta(store, prefix)).rejects.toMatchObject({ code: 'DAMAGED' })
  })
})

describe('settling', () => {
  test('waits for every task also when one fails, and fails with the first error in order', async () => {
    let finished = 0
    const slow = new Promise<void>((resolve) => setImmediate(() => setImmediate(() => ((finished += 1), resolve()))))
    const failures = [Promise.reject(new PromDrError('DISK_FULL', 'one')), slow, Promise.reject(new PromDrError('INTERNAL', 'two'))]
    await expect(settleAll(failures as Promise<unknown>[])).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect(finished).toBe(1)
  })

  test('gives the answers in the order of the tasks', async () => {
    expect(await settleAll([Promise.resolve(1), 2 as never, Promise.resolve(3)])).toEqual([1, 2, 3])
  })
})
