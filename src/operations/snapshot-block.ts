import type { BlockMeta } from '../domain/block.ts'
import { readBlockDirectory, readBlockMeta, readBounded } from '../tsdb/block-directory.ts'
import { listBlocks } from '../tsdb/data-directory.ts'
import { isEmptyTombstones } from '../tsdb/tombstones.ts'
import { maxTombstonesBytes } from '../tsdb/verify-block.ts'

/** A block in a snapshot: files that no longer change, whatever the server does. */
export interface SnapshotBlock {
  meta: BlockMeta
  files: { relPath: string; path: string; sizeBytes: number }[]
  /** The deletions in force; undefined when there are none. */
  tombstones: Buffer | undefined
}

/** @throws DAMAGED naming the block: what the server cannot read is no backup */
export async function readSnapshotBlocks(path: string): Promise<SnapshotBlock[]> {
  const blocks: SnapshotBlock[] = []
  for (const block of (await listBlocks(path)).blocks) {
    const directory = await readBlockDirectory(block.path)
    const { meta } = await readBlockMeta(block.path)
    const tombstones = directory.tombstonesFile && (await readBounded(directory.tombstonesFile.path, maxTombstonesBytes))
    const deletes = tombstones !== undefined && !isEmptyTombstones(tombstones, directory.tombstonesFile?.path)
    blocks.push({ meta, files: directory.immutableFiles, tombstones: deletes ? tombstones : undefined })
  }
  return blocks
}
