import { cp, readFile, rename, symlink, truncate, unlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { expect, onTestFinished, test, type TestContext } from 'vitest'
import { listBlocks, listSnapshots } from '../../src/tsdb/data-directory.ts'
import { verifyLocalBlock } from '../../src/tsdb/verify-block.ts'
import { type BlockRecipe, makeBlocks } from '../support/blocks.ts'
import { needPrograms } from '../support/programs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { startTsdbServer, waitFor } from '../support/tsdb-server.ts'

async function realBlock(context: TestContext, recipe: BlockRecipe = {}): Promise<string> {
  needPrograms(context, 'promtool')
  const made = await makeBlocks(recipe)
  onTestFinished(made.remove)
  return made.blocks[0]!.path
}

async function flipBit(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path)
  bytes[offset]! ^= 1
  await writeFile(path, bytes)
}

test('a block that Prometheus wrote is whole, and everything in it is counted', async (context) => {
  const block = await realBlock(context, { series: 12, samples: 200 })
  const verified = await verifyLocalBlock(block)
  expect(verified).toMatchObject({ ulid: basename(block), files: 4, series: 12, chunks: 24, samples: 2400, tombstones: 0, unknownChunks: 0 })
  expect(verified.sizeBytes).toBeGreaterThan(1000)
})

test('blocks of a snapshot of a running server, the head block among them, are whole', async (context) => {
  needPrograms(context, 'promtool', 'prometheus')
  const made = await makeBlocks({ series: 5, samples: 10 })
  onTestFinished(made.remove)
  const server = await startTsdbServer(made.dataDir, { scratch: await temporaryDirectory(), scrape: true })
  await waitFor(async () => Number((await server.query('count({job="self"})', Date.now()))[0]?.value ?? 0) > 100)
  await server.admin('tsdb/snapshot')
  const snapshots = await listSnapshots(made.dataDir)
  expect(snapshots).toHaveLength(1)
  const { blocks, unfinished } = await listBlocks(snapshots[0]!.path)
  expect(unfinished).toEqual([])
  expect(blocks).toHaveLength(2)
  const [old, head] = await Promise.all(blocks.map((block) => verifyLocalBlock(block.path)))
  expect(old).toMatchObject({ ulid: made.blocks[0]!.ulid, series: 5, samples: 50 })
  expect(head!.series).toBeGreaterThan(100)
  expect(head!.samples).toBeGreaterThan(100)
})

test('a flipped bit in any file of a block is damage that names the file', async (context) => {
  for (const [file, offset] of [['chunks/000001', 40], ['index', 60], ['tombstones', 7]] as const) {
    const block = await realBlock(context)
    await flipBit(join(block, file), offset)
    await expect(verifyLocalBlock(block)).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining(join(block, file)) })
  }
})

test('a chunk file that ends early between two chunks does not agree with meta.json', async (context) => {
  const block = await realBlock(context, { series: 2, samples: 10, value: () => 1 })
  const chunks = join(block, 'chunks', '000001')
  // Both series have one chunk of the same length.
  await truncate(chunks, 8 + ((await readFile(chunks)).length - 8) / 2)
  await expect(verifyLocalBlock(block)).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('has 1 chunks, its meta.json says 2') })
})

test.for([
  ['numSeries', 'has 10 series, its meta.json says 11'],
  ['numSamples', 'has 1000 samples, its meta.json says 1001'],
] as const)('a meta.json that overstates %s is damage', async ([field, message], context) => {
  const block = await realBlock(context)
  const path = join(block, 'meta.json')
  const meta = JSON.parse(await readFile(path, 'utf8'))
  meta.stats[field]++
  await writeFile(path, JSON.stringify(meta))
  await expect(verifyLocalBlock(block)).rejects.toThrow(message)
})

test.for(['index', 'meta.json', 'chunks'])('a block without %s is damaged', async (name, context) => {
  const block = await realBlock(context)
  await rename(join(block, name), join(await temporaryDirectory(), name))
  await expect(verifyLocalBlock(block)).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining(name) })
})

test('a block under another name is damaged', async (context) => {
  const block = await realBlock(context)
  const lie = join(await temporaryDirectory(), '01ARZ3NDEKTSV4RRFFQ69G5FAV')
  await cp(block, lie, { recursive: true })
  await expect(verifyLocalBlock(lie)).rejects.toThrow(/says that it is block/)
})

test('a symbolic link in place of a file is refused', async (context) => {
  const block = await realBlock(context)
  await rename(join(block, 'index'), join(block, 'elsewhere'))
  await symlink('elsewhere', join(block, 'index'))
  await expect(verifyLocalBlock(block)).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('index is a symbolic link') })
})

test('a block without a tombstones file is whole', async (context) => {
  const block = await realBlock(context)
  await unlink(join(block, 'tombstones'))
  expect(await verifyLocalBlock(block)).toMatchObject({ files: 3, tombstones: 0 })
})

test('verification stops when it is told to', async (context) => {
  const block = await realBlock(context)
  await expect(verifyLocalBlock(block, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'INTERRUPTED' })
})
