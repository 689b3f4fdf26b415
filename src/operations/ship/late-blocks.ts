import { isInOrder } from '../../domain/block.ts'
import { ulidTime } from '../../domain/ulid.ts'
import { hasCode } from '../../errors.ts'
import { readBlockMeta } from '../../tsdb/block-directory.ts'
import { listBlocks } from '../../tsdb/data-directory.ts'

/**
 * The time that blocks span which the server has written since `sinceMs` (ms, judged by their ULIDs) and that may hold out-of-order samples, which
 * were in the WBL before and left it with the block. A merged block counts when it has anything written since then: what the head cuts is merged
 * hours later, out-of-order samples at once where they overlap others. Undefined when there are none.
 */
export async function lateBlocksSince(dataDir: string, sinceMs: number): Promise<{ minTime: number; maxTime: number } | undefined> {
  let span: { minTime: number; maxTime: number } | undefined
  for (const { ulid, path } of (await listBlocks(dataDir)).blocks) {
    if (ulidTime(ulid) < sinceMs) continue
    const meta = await metaOf(path)
    if (meta === undefined || (isInOrder(meta) && !(meta.compaction.level > 1 && meta.compaction.sources.some((source) => ulidTime(source) >= sinceMs)))) continue
    span = { minTime: Math.min(span?.minTime ?? meta.minTime, meta.minTime), maxTime: Math.max(span?.maxTime ?? meta.maxTime, meta.maxTime) }
  }
  return span
}

/** Undefined for a block that went while it was looked at: what it was merged into is another of them. */
async function metaOf(path: string) {
  try {
    return (await readBlockMeta(path)).meta
  } catch (error) {
    if (hasCode(error, 'DATA_DIR_UNREADABLE', 'DAMAGED')) return undefined
    throw error
  }
}
