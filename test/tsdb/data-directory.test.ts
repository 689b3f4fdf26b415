import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { directoryContents, listBlocks, listSnapshots } from '../../src/tsdb/data-directory.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const [first, second, third] = ['01ARZ3NDEKTSV4RRFFQ69G5FAV', '01BRZ3NDEKTSV4RRFFQ69G5FAV', '01CRZ3NDEKTSV4RRFFQ69G5FAV'] as const

async function block(dataDir: string, name: string, finished = true): Promise<void> {
  await mkdir(join(dataDir, name), { recursive: true })
  if (finished) await writeFile(join(dataDir, name, 'meta.json'), '{}')
}

test('blocks are directories named after a ULID; what Prometheus would remove at start is none', async () => {
  const dataDir = await temporaryDirectory()
  for (const name of [second, first, `${third}.tmp-for-creation`, `${third}.tmp-for-deletion`, 'wal', 'chunks_head', 'snapshots']) await block(dataDir, name)
  await writeFile(join(dataDir, third), 'a file')
  await symlink(first, join(dataDir, '01DRZ3NDEKTSV4RRFFQ69G5FAV'))
  expect(await listBlocks(dataDir)).toEqual({
    blocks: [
      { ulid: first, path: join(dataDir, first) },
      { ulid: second, path: join(dataDir, second) },
    ],
    unfinished: [],
  })
})

test('a block without meta.json is unfinished', async () => {
  const dataDir = await temporaryDirectory()
  await block(dataDir, first)
  await block(dataDir, second, false)
  const found = await listBlocks(dataDir)
  expect(found.blocks.map(({ ulid }) => ulid)).toEqual([first])
  expect(found.unfinished).toEqual([{ ulid: second, path: join(dataDir, second) }])
})

test('a data directory that is not there is an error, not an empty one', async () => {
  const missing = join(await temporaryDirectory(), 'data')
  await expect(listBlocks(missing)).rejects.toMatchObject({ code: 'DATA_DIR_UNREADABLE', message: expect.stringContaining(missing) })
})

test('snapshots are listed, none where there is no directory for them', async () => {
  const dataDir = await temporaryDirectory()
  expect(await listSnapshots(dataDir)).toEqual([])
  const names = ['20261121T023615Z-79535be5b4d353f1', '20261120T023615Z-1111111111111111']
  for (const name of names) await mkdir(join(dataDir, 'snapshots', name), { recursive: true })
  await writeFile(join(dataDir, 'snapshots', 'a-file'), '')
  expect((await listSnapshots(dataDir)).map(({ name }) => name)).toEqual(names.toReversed())
})

test('an empty directory is empty with a lost+found and what prom-dr itself left there', async () => {
  const directory = await temporaryDirectory()
  expect(await directoryContents(directory)).toEqual({ state: 'empty', names: [] })
  await mkdir(join(directory, 'lost+found'))
  await mkdir(join(directory, '.prom-dr-staging'))
  expect(await directoryContents(directory)).toEqual({ state: 'empty', names: [] })
  await writeFile(join(directory, 'notes'), '')
  await mkdir(join(directory, first))
  expect(await directoryContents(directory)).toEqual({ state: 'occupied', names: [first, 'notes'] })
})

test('what is no directory is told apart', async () => {
  const directory = await temporaryDirectory()
  await writeFile(join(directory, 'file'), '')
  await symlink('.', join(directory, 'link'))
  expect((await directoryContents(join(directory, 'file'))).state).toBe('not a directory')
  expect((await directoryContents(join(directory, 'link'))).state).toBe('symbolic link')
  expect((await directoryContents(join(directory, 'nothing'))).state).toBe('missing')
})
