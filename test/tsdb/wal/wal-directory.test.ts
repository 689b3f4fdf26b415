import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { listWalDirectory } from '../../../src/tsdb/wal/wal-directory.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

/** `00000003` or `checkpoint.00000002/00000000`: a file of five bytes each. */
async function makeDirectory(files: readonly string[]): Promise<string> {
  const directory = await temporaryDirectory()
  for (const file of files) {
    await mkdir(join(directory, file, '..'), { recursive: true })
    await writeFile(join(directory, file), 'bytes')
  }
  return directory
}

const numbers = (segments: readonly { number: number }[]) => segments.map((segment) => segment.number)

test('segments and checkpoints are listed in the order of their numbers, with what a start would read', async () => {
  const directory = await makeDirectory(['00000011', '00000009', '00000010', '00000008', 'checkpoint.00000009/00000001', 'checkpoint.00000009/00000000', 'checkpoint.00000006/00000000', 'checkpoint.00000012.tmp/00000000', '00000008.repair', 'min-valid-time', 'notes'])
  const found = await listWalDirectory(directory, 'wal')
  expect(found.segments[0]).toEqual({ number: 8, path: join(directory, '00000008'), sizeBytes: 5 })
  expect(numbers(found.segments)).toEqual([8, 9, 10, 11])
  expect(numbers(found.live)).toEqual([10, 11])
  expect(numbers(found.checkpoints)).toEqual([6, 9])
  expect(found.newestCheckpoint).toMatchObject({ number: 9, path: join(directory, 'checkpoint.00000009'), gaps: [] })
  expect(numbers(found.newestCheckpoint!.segments)).toEqual([0, 1])
  expect(found.gaps).toEqual([])
  expect(found.others).toEqual(['00000008.repair', 'checkpoint.00000012.tmp', 'min-valid-time', 'notes'])
})

test.each<[string, 'wal' | 'wbl', string[], { from: number; to: number }[]]>([
  ['none in a whole log', 'wal', ['00000000', '00000001'], []],
  ['between segments', 'wal', ['00000000', '00000003', '00000004', '00000006'], [{ from: 1, to: 2 }, { from: 5, to: 5 }]],
  ['before the first segment where there is no checkpoint', 'wal', ['00000002'], [{ from: 0, to: 1 }]],
  ['between the checkpoint and the segments', 'wal', ['checkpoint.00000002/00000000', '00000005'], [{ from: 3, to: 4 }]],
  ['across the checkpoint', 'wal', ['00000001', 'checkpoint.00000002/00000000', '00000005'], [{ from: 2, to: 4 }]],
  ['none where segments before the checkpoint are not gone yet', 'wal', ['00000001', '00000002', 'checkpoint.00000002/00000000', '00000003'], []],
  ['none where there is a checkpoint alone', 'wal', ['checkpoint.00000002/00000000'], []],
  ['none at the start of a WBL, which is truncated without a checkpoint', 'wbl', ['00000004', '00000005'], []],
  ['within a WBL', 'wbl', ['00000004', '00000006'], [{ from: 5, to: 5 }]],
])('gaps: %s', async (_, kind, files, gaps) => {
  expect((await listWalDirectory(await makeDirectory(files), kind)).gaps).toEqual(gaps)
})

test('a checkpoint that misses a segment says so, and one without any is none', async () => {
  const found = await listWalDirectory(await makeDirectory(['checkpoint.00000003/00000001', 'checkpoint.00000004/notes', '00000004']), 'wal')
  expect(found.checkpoints).toMatchObject([{ number: 3, gaps: [{ from: 0, to: 0 }] }])
  expect(numbers(found.live)).toEqual([4])
})

test('a directory that is not there holds nothing; a file in its place is an error', async () => {
  const directory = await makeDirectory(['wbl'])
  expect(await listWalDirectory(join(directory, 'wal'), 'wal')).toMatchObject({ segments: [], checkpoints: [], newestCheckpoint: undefined, live: [], gaps: [], others: [] })
  await expect(listWalDirectory(join(directory, 'wbl'), 'wbl')).rejects.toMatchObject({ code: 'DATA_DIR_UNREADABLE' })
})
