import { createHash } from 'node:crypto'
import { hasCode } from '../../errors.ts'
import { storeTombstones } from '../../repository/tombstones.ts'
import { storeDeletion } from '../../repository/wal-stream.ts'
import { readBlockDirectory, readBounded } from '../../tsdb/block-directory.ts'
import { listBlocks } from '../../tsdb/data-directory.ts'
import { isEmptyTombstones } from '../../tsdb/tombstones.ts'
import { maxTombstonesBytes } from '../../tsdb/verify-block.ts'
import type { ShipperContext } from './wal-shipper.ts'

/**
 * Ships the tombstones of blocks that changed, with the time they were first seen: `delete_series` over a block leaves no trace in
 * the log. `stored` has the digest of what is stored already, by ULID.
 */
export async function shipDeletions(context: ShipperContext, of: { generation: string; stored: Map<string, string> }): Promise<void> {
  const { store, instance, dataDir, signal } = context
  for (const { ulid, path } of (await listBlocks(dataDir)).blocks) {
    const bytes = await tombstonesOf(path)
    if (bytes === undefined) continue
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    if (of.stored.get(ulid) === sha256) continue
    const { sizeBytes } = await storeTombstones(store, instance, { bytes, signal })
    await storeDeletion(store, instance, { generation: of.generation, deletion: { ulid, seenAt: context.now().getTime(), sha256, sizeBytes }, signal })
    of.stored.set(ulid, sha256)
  }
}

async function tombstonesOf(path: string): Promise<Buffer | undefined> {
  try {
    const { tombstonesFile } = await readBlockDirectory(path)
    if (tombstonesFile === undefined) return undefined
    const bytes = await readBounded(tombstonesFile.path, maxTombstonesBytes)
    return isEmptyTombstones(bytes, tombstonesFile.path) ? undefined : bytes
  } catch (error) {
    // A block that compaction removes while it is looked at.
    if (hasCode(error, 'DATA_DIR_UNREADABLE', 'DAMAGED')) return undefined
    throw error
  }
}
