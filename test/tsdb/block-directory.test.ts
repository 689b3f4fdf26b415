import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test, type TestContext } from 'vitest'
import { readBlockDirectory, readBlockMeta } from '../../src/tsdb/block-directory.ts'
import { makeBlocks } from '../support/blocks.ts'
import { needPrograms } from '../support/programs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

async function realBlock(context: TestContext): Promise<string> {
  needPrograms(context, 'promtool')
  const made = await makeBlocks({ series: 2, samples: 2 })
  onTestFinished(made.remove)
  return made.blocks[0]!.path
}

test('the files of a block are listed with their sizes, what never changes apart', async (context) => {
  const path = await realBlock(context)
  await writeFile(join(path, 'chunks', '000002'), 'second')
  const block = await readBlockDirectory(path)
  expect(block.immutableFiles.map((file) => file.relPath)).toEqual(['chunks/000001', 'chunks/000002', 'index'])
  expect(block.immutableFiles[1]).toEqual({ relPath: 'chunks/000002', path: join(path, 'chunks', '000002'), sizeBytes: 6 })
  expect(block.metaFile.relPath).toBe('meta.json')
  expect(block.tombstonesFile).toMatchObject({ sizeBytes: 9 })
  expect(block.unknownNames).toEqual([])
})

test('files that are no part of a block are reported and left out', async (context) => {
  const path = await realBlock(context)
  await writeFile(join(path, 'notes.txt'), '')
  await writeFile(join(path, 'chunks', '000001.bak'), '')
  await symlink('/etc/passwd', join(path, 'link'))
  const block = await readBlockDirectory(path)
  expect(block.unknownNames).toEqual(['chunks/000001.bak', 'link', 'notes.txt'])
  expect(block.immutableFiles).toHaveLength(2)
})

test('a gap between chunk files is damage', async (context) => {
  const path = await realBlock(context)
  await writeFile(join(path, 'chunks', '000003'), '')
  await expect(readBlockDirectory(path)).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('chunks/000002 is missing') })
})

test('a directory in place of a file and a link in place of a directory are refused', async (context) => {
  const path = await realBlock(context)
  await rm(join(path, 'tombstones'))
  await mkdir(join(path, 'tombstones'))
  await expect(readBlockDirectory(path)).rejects.toThrow(/tombstones is a directory, not a file/)
  await rename(join(path, 'chunks'), join(path, 'moved'))
  await symlink('moved', join(path, 'chunks'))
  await expect(readBlockDirectory(path)).rejects.toThrow(/chunks is a symbolic link, not a directory/)
})

test('a directory that is not there cannot be read, one with another name is no block', async () => {
  const directory = await temporaryDirectory()
  await expect(readBlockDirectory(join(directory, '01ARZ3NDEKTSV4RRFFQ69G5FAV'))).rejects.toMatchObject({ code: 'DATA_DIR_UNREADABLE' })
  await expect(readBlockDirectory(directory)).rejects.toThrow(/not a ULID/)
})

test('a huge meta.json is not read', async (context) => {
  const path = await realBlock(context)
  await writeFile(join(path, 'meta.json'), Buffer.alloc(5 << 20, ' '))
  await expect(readBlockMeta(path)).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('5242880 bytes') })
})
