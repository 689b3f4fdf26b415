import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, statfs, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { cloneDataDirectory } from '../../src/tsdb/clone-data-directory.ts'
import { defaultStartMs, makeBlocks } from '../support/blocks.ts'
import { needPrograms } from '../support/programs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { startTsdbServer, waitFor } from '../support/tsdb-server.ts'

test('a server on a clone answers as the source, and what it deletes stays in the source', async (context) => {
  needPrograms(context, 'promtool', 'prometheus')
  const made = await makeBlocks({ series: 5, samples: 20 })
  onTestFinished(made.remove)
  const scratch = await temporaryDirectory()
  const source = await startTsdbServer(made.dataDir, { scratch, scrape: true })
  await waitFor(async () => (await source.query('up', Date.now())).length === 1)
  await source.stop()

  const clone = join(scratch, 'clone')
  const report = await cloneDataDirectory(made.dataDir, clone)
  expect(report).toMatchObject({ blocks: 1, linkedFiles: 2 })
  const server = await startTsdbServer(clone, { scratch })
  expect((await server.query('count(prom_dr_test)', defaultStartMs + 60_000))[0]?.value).toBe('5')
  expect(Number((await server.query('count(last_over_time(up[1h]))', Date.now()))[0]?.value)).toBe(1)

  const tombstones = join(made.blocks[0]!.path, 'tombstones')
  const before = await readFile(tombstones)
  await server.admin('tsdb/delete_series?match[]=prom_dr_test')
  await server.admin('tsdb/clean_tombstones')
  await server.stop()
  expect(await readFile(tombstones)).toEqual(before)
  expect((await readdir(clone)).includes(made.blocks[0]!.ulid)).toBe(false)
  expect((await readdir(made.blocks[0]!.path)).sort()).toEqual(['chunks', 'index', 'meta.json', 'tombstones'])
})

test('only blocks and WAL are cloned, the immutable files as links, the others as copies', async (context) => {
  needPrograms(context, 'promtool')
  const made = await makeBlocks({ series: 2, samples: 2 })
  onTestFinished(made.remove)
  const source = made.dataDir
  for (const directory of ['wal/checkpoint.00000002', 'wal/checkpoint.00000003.tmp', 'wbl', 'chunks_head', 'chunk_snapshot.000001.0000', 'snapshots/x', '.prom-dr-staging']) {
    await mkdir(join(source, directory), { recursive: true })
    await writeFile(join(source, directory, '00000000'), directory)
  }
  await writeFile(join(source, 'wal', '00000003'), 'segment')
  await writeFile(join(source, 'lock'), '')
  await writeFile(join(source, 'queries.active'), '')
  await mkdir(join(source, '01ARZ3NDEKTSV4RRFFQ69G5FAV'))

  const target = join(await temporaryDirectory(), 'clone')
  expect(await cloneDataDirectory(source, target)).toEqual({ blocks: 1, linkedFiles: 2, copiedFiles: 5 })
  const { ulid } = made.blocks[0]!
  expect((await readdir(target)).sort()).toEqual([ulid, 'wal', 'wbl'])
  expect((await readdir(join(target, 'wal'))).sort()).toEqual(['00000003', 'checkpoint.00000002'])
  const sameFile = async (name: string) => (await stat(join(source, name))).ino === (await stat(join(target, name))).ino
  for (const name of ['index', 'chunks/000001']) expect(await sameFile(join(ulid, name)), name).toBe(true)
  for (const name of [`${ulid}/meta.json`, `${ulid}/tombstones`, 'wal/00000003', 'wal/checkpoint.00000002/00000000', 'wbl/00000000']) {
    expect(await sameFile(name), name).toBe(false)
    expect(await readFile(join(target, name))).toEqual(await readFile(join(source, name)))
  }
})

test('files are copied to another filesystem', async (context) => {
  needPrograms(context, 'promtool')
  const other = '/dev/shm'
  if (!existsSync(other) || (await statfs(other)).type === (await statfs(tmpdir())).type) context.skip(`${other} is no other filesystem than ${tmpdir()} here`)
  const made = await makeBlocks({ series: 2, samples: 2 })
  onTestFinished(made.remove)
  const target = await mkdtemp(join(other, 'prom-dr-test-'))
  onTestFinished(() => rm(target, { recursive: true, force: true }))
  expect(await cloneDataDirectory(made.dataDir, target)).toEqual({ blocks: 1, linkedFiles: 0, copiedFiles: 4 })
  const name = join(made.blocks[0]!.ulid, 'index')
  expect(await readFile(join(target, name))).toEqual(await readFile(join(made.dataDir, name)))
})

test('a target with something in it is refused, and a link in the WAL is not followed', async () => {
  const source = await temporaryDirectory()
  const occupied = await temporaryDirectory()
  await writeFile(join(occupied, 'precious'), 'x')
  await expect(cloneDataDirectory(source, occupied)).rejects.toMatchObject({ code: 'PREFLIGHT_REFUSED' })
  expect(await readdir(occupied)).toEqual(['precious'])

  await mkdir(join(source, 'wal'))
  await symlink('/etc/passwd', join(source, 'wal', '00000000'))
  await expect(cloneDataDirectory(source, join(source, '.prom-dr-clone'))).rejects.toMatchObject({ code: 'DAMAGED' })
})
