import { constants } from 'node:fs'
import { copyFile, link, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { PromDrError, systemCode } from '../errors.ts'
import { type BlockFile, readBlockDirectory } from './block-directory.ts'
import { directoryContents, listBlocks } from './data-directory.ts'
import { dataFileError, onDataFile } from './file-errors.ts'

export interface ClonedDataDirectory {
  blocks: number
  linkedFiles: number
  copiedFiles: number
}

/** Other filesystem, no hard links there, links to others' files forbidden, too many links: copy instead. */
const cannotLink = ['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP']

/**
 * Makes `target` a data directory with the blocks and the WAL of `source`, for a throwaway server. What Prometheus never
 * writes to (index, chunks) is hard-linked, the rest copied, so that nothing done to the clone reaches the source.
 * Left out: everything else, above all `chunk_snapshot.*` (a stale one hides newer data), `snapshots`, the lock, unfinished
 * blocks and `.tmp` directories. After a failure `target` is incomplete.
 * @throws PREFLIGHT_REFUSED when `target` holds something, DAMAGED, DATA_DIR_UNREADABLE, DISK_FULL
 */
export async function cloneDataDirectory(source: string, target: string): Promise<ClonedDataDirectory> {
  const { state } = await directoryContents(target)
  if (state !== 'missing' && state !== 'empty') throw new PromDrError('PREFLIGHT_REFUSED', `${target} is ${state}: a clone needs an empty directory`)
  const { blocks } = await listBlocks(source)
  const report: ClonedDataDirectory = { blocks: blocks.length, linkedFiles: 0, copiedFiles: 0 }
  await onDataFile(target, mkdir(target, { recursive: true }))
  for (const { ulid, path } of blocks) await cloneBlock(path, join(target, ulid), report)
  for (const name of ['wal', 'wbl']) {
    if ((await directoryContents(join(source, name))).state !== 'missing') await copyTree(join(source, name), join(target, name), report)
  }
  return report
}

/** Removes a clone; one that is not there is success. */
export async function removeClone(path: string): Promise<void> {
  await onDataFile(path, rm(path, { recursive: true, force: true }))
}

async function cloneBlock(source: string, target: string, report: ClonedDataDirectory): Promise<void> {
  const block = await readBlockDirectory(source)
  await onDataFile(target, mkdir(join(target, 'chunks'), { recursive: true }))
  for (const file of block.immutableFiles) {
    if (await linkFile(file, join(target, file.relPath))) report.linkedFiles++
    else await copy(file.path, join(target, file.relPath), report)
  }
  if (block.tombstonesFile !== undefined) await copy(block.tombstonesFile.path, join(target, 'tombstones'), report)
  await copy(block.metaFile.path, join(target, 'meta.json'), report)
}

/** False when the two places cannot share a file. */
async function linkFile(file: BlockFile, target: string): Promise<boolean> {
  try {
    await link(file.path, target)
    return true
  } catch (error) {
    if (cannotLink.includes(systemCode(error) ?? '')) return false
    throw dataFileError(error, target)
  }
}

/** The segments of a WAL directory and of its checkpoints. */
async function copyTree(source: string, target: string, report: ClonedDataDirectory): Promise<void> {
  await onDataFile(target, mkdir(target))
  for (const entry of await onDataFile(source, readdir(source, { withFileTypes: true }))) {
    const from = join(source, entry.name)
    const to = join(target, entry.name)
    if (entry.name.endsWith('.tmp')) continue
    if (entry.isDirectory()) await copyTree(from, to, report)
    else if (entry.isFile()) await copy(from, to, report)
    else throw new PromDrError('DAMAGED', `${from} is neither a file nor a directory`)
  }
}

async function copy(from: string, to: string, report: ClonedDataDirectory): Promise<void> {
  await onDataFile(to, copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE))
  report.copiedFiles++
}
