import type { BlockMeta } from '../../domain/block.ts'
import type { DamagedBlock } from '../../domain/recovery-point.ts'
import { hasCode, messageOf } from '../../errors.ts'
import { readBlockDirectory, readBlockMeta, readBounded } from '../../tsdb/block-directory.ts'
import { type LocalBlock, listBlocks } from '../../tsdb/data-directory.ts'
import { diskFailure } from '../../tsdb/file-errors.ts'
import { newestSampleMs } from '../../tsdb/newest-sample.ts'
import { type Tombstone, parseTombstones } from '../../tsdb/tombstones.ts'
import { maxTombstonesBytes } from '../../tsdb/verify-block.ts'

/** A block in a snapshot: files that no longer change, whatever the server does. */
export interface SnapshotBlock {
  meta: BlockMeta
  /** Chunks and index. */
  files: { relPath: string; path: string; sizeBytes: number }[]
  /** The deletions in force; undefined when there are none. */
  tombstones: Buffer | undefined
}

/**
 * The blocks of a snapshot. One that cannot be stored (a file or a readable meta.json is missing) is left out, and one whose
 * deletions cannot be read is taken without them; both are in `damaged`: the others are wanted all the more.
 */
export async function readSnapshotBlocks(path: string): Promise<{ blocks: SnapshotBlock[]; damaged: DamagedBlock[] }> {
  const blocks: SnapshotBlock[] = []
  const damaged: DamagedBlock[] = []
  for (const block of (await listBlocks(path)).blocks) {
    const read = await orDamage(readBlock(block))
    if ('damage' in read) {
      damaged.push({ ulid: block.ulid, reason: `it could not be stored: ${read.damage}` })
      continue
    }
    const deletions = await orDamage(readDeletions(read.value.tombstonesPath))
    if ('damage' in deletions) damaged.push({ ulid: block.ulid, reason: `it was stored without its deletions: ${deletions.damage}` })
    blocks.push({ meta: read.value.meta, files: read.value.files, tombstones: 'damage' in deletions ? undefined : deletions.value })
  }
  return { blocks, damaged }
}

async function readBlock({ path }: LocalBlock) {
  const directory = await readBlockDirectory(path)
  const { meta } = await readBlockMeta(path)
  return { meta, files: directory.immutableFiles, tombstonesPath: directory.tombstonesFile?.path }
}

/** The bytes, undefined when they delete nothing. @throws DAMAGED */
async function readDeletions(path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined
  const bytes = await readBounded(path, maxTombstonesBytes)
  return parseTombstones(bytes, path).length === 0 ? undefined : bytes
}

async function orDamage<T>(reading: Promise<T>): Promise<{ value: T } | { damage: string }> {
  try {
    return { value: await reading }
  } catch (error) {
    if (!hasCode(error, 'DAMAGED') && diskFailure(error) === undefined) throw error
    return { damage: messageOf(error) }
  }
}

/** The half-open ranges of a live server's blocks, ms. Blocks that are compacted away meanwhile are left out. */
export async function readLiveBlockRanges(dataDir: string): Promise<{ minTime: number; maxTime: number }[]> {
  const ranges: { minTime: number; maxTime: number }[] = []
  for (const block of (await listBlocks(dataDir)).blocks) {
    try {
      const { meta } = await readBlockMeta(block.path)
      ranges.push({ minTime: meta.minTime, maxTime: meta.maxTime })
    } catch (error) {
      if (!hasCode(error, 'DAMAGED', 'DATA_DIR_UNREADABLE')) throw error
    }
  }
  return ranges
}

/**
 * The time of the newest sample, measured in the indexes: a block's own maxTime is the rounded end of its range. Blocks are
 * asked newest first, until none of the others can have a newer one. A block whose index is damaged counts from its start.
 */
export async function measureNewestSample(blocks: readonly SnapshotBlock[], signal?: AbortSignal): Promise<number | null> {
  let newest: number | null = null
  for (const block of [...blocks].sort((a, b) => b.meta.maxTime - a.meta.maxTime)) {
    if (newest !== null && block.meta.maxTime - 1 <= newest) break
    const found = await newestOf(block, signal)
    if (found !== undefined && (newest === null || found > newest)) newest = found
  }
  return newest
}

async function newestOf({ meta, files, tombstones }: SnapshotBlock, signal: AbortSignal | undefined): Promise<number | undefined> {
  const index = files.find((file) => file.relPath === 'index')
  if (index === undefined) return undefined
  const deletions: Tombstone[] = tombstones === undefined ? [] : parseTombstones(tombstones)
  const measured = await orDamage(newestSampleMs(index.path, { tombstones: deletions, signal }))
  if ('damage' in measured) return meta.minTime
  // Whatever an index says, the block's samples lie in its range.
  return measured.value === undefined ? undefined : Math.min(measured.value, meta.maxTime - 1)
}
