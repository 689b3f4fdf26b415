import { isInOrder } from '../../domain/block.ts'
import { PromDrError, hasCode } from '../../errors.ts'
import { type CheckpointContent, storeCheckpoint } from '../../repository/wal-stream.ts'
import { readBlockMeta } from '../../tsdb/block-directory.ts'
import { type LocalBlocks, listBlocks } from '../../tsdb/data-directory.ts'
import { readCheckpointFiles, readLocalLog } from '../../tsdb/wal-source.ts'
import type { UnknownRecord } from '../../tsdb/wal-tail.ts'
import { checkWholeSegment, readCheckedSegment } from '../../tsdb/whole-segment.ts'
import type { ShipperContext, WalShipper } from './wal-shipper.ts'

export interface CheckpointRequest {
  generation: string
  wal: WalShipper
  /** Segments of checkpoints that are stored already. */
  stored: Set<number>
  onUnknown(path: string, records: readonly UnknownRecord[]): void
}

/**
 * Ships the newest checkpoint with the time below which it holds no samples, judged by the blocks that are there after it was
 * read: too high is safe, too low a silent gap.
 * @returns bytes stored, undefined when there was none to ship
 */
export async function shipCheckpoint(context: ShipperContext, of: CheckpointRequest): Promise<number | undefined> {
  const { store, instance, dataDir, signal } = context
  const { generation, wal, stored } = of
  // Until something of the log is shipped, nothing shows later that the two belong together.
  if (wal.position.offset === 0 && wal.predecessor === undefined) return undefined
  const { checkpoint } = await readLocalLog(dataDir, 'wal')
  if (checkpoint === undefined || stored.has(checkpoint.segment)) return undefined
  const { segment, path } = checkpoint
  try {
    const files = await readCheckpointFiles(path)
    if (files.length === 0) return undefined
    const bytes = await storeCheckpoint(store, instance, {
      generation, segment, signal,
      files: contentOf(context, files, of),
      bound: async () => {
        const bound = await newestInOrderMs(dataDir)
        if (!(await wal.stillContinues())) throw new PromDrError('CONTENTION', `the log in ${dataDir} was replaced while its checkpoint was read`)
        return { bound, seenAt: context.now().getTime(), ...(wal.predecessor !== undefined && { after: wal.predecessor }) }
      },
    })
    stored.add(segment)
    return bytes
  } catch (error) {
    // Another shipper was first: what it stored stands or falls with the log that it names.
    if (hasCode(error, 'OBJECT_EXISTS')) stored.add(segment)
    // A newer one, or another log, took its place while it was read: what is there then is shipped at the next pass.
    else if (!hasCode(error, 'DATA_DIR_UNREADABLE', 'CONTENTION')) throw error
    return undefined
  }
}

async function* contentOf({ rest }: ShipperContext, files: readonly { number: number; path: string }[], { onUnknown }: CheckpointRequest): AsyncGenerator<CheckpointContent> {
  for (const { number, path } of files) {
    const { sizeBytes, digest, unknown } = await checkWholeSegment(path, { rest })
    onUnknown(path, unknown)
    yield { number, sizeBytes, digest, open: () => readCheckedSegment(path, { digest, rest }) }
  }
}

const mostListings = 50

/**
 * The end of the newest in-order block, ms: what a server starting on the directory would ignore samples before. Null without blocks. It is
 * taken from a moment at which no block came or went: a compaction moves blocks into a new one and removes them at once, so that a
 * listing may have met neither, and a bound that is too low hides samples that are in no log.
 * @throws CONTENTION when blocks come and go all the time
 */
export async function newestInOrderMs(dataDir: string): Promise<number | null> {
  for (let tries = 0; tries < mostListings; tries += 1) {
    const before = await listBlocks(dataDir)
    const ends = await Promise.all(before.blocks.map(({ path }) => inOrderEndMs(path)))
    if (namesOf(before) !== namesOf(await listBlocks(dataDir))) continue
    return ends.reduce<number | null>((newest, end) => (end === undefined ? newest : Math.max(newest ?? end, end)), null)
  }
  throw new PromDrError('CONTENTION', `blocks in ${dataDir} come and go faster than they can be listed`, { hint: 'is Prometheus compacting over and over? see its log' })
}

function namesOf({ blocks, unfinished }: LocalBlocks): string {
  return [...blocks, ...unfinished].map(({ ulid }) => ulid).sort().join(' ')
}

/** Undefined for a block of out-of-order samples, and for one that went while it was looked at. A server loads none without meta.json. */
async function inOrderEndMs(path: string): Promise<number | undefined> {
  try {
    const { meta } = await readBlockMeta(path)
    return isInOrder(meta) ? meta.maxTime : undefined
  } catch (error) {
    const gone = hasCode(error, 'DATA_DIR_UNREADABLE') || (hasCode(error, 'DAMAGED') && error.details?.['missing'] === 'meta.json')
    if (!gone) throw error
    return undefined
  }
}
