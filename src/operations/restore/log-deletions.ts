import { join } from 'node:path'
import { isInOrder } from '../../domain/block.ts'
import { hasCode, messageOf } from '../../errors.ts'
import { blockPrefix } from '../../repository/layout.ts'
import { readStoredMeta } from '../../repository/stored-blocks.ts'
import { readTombstones } from '../../repository/tombstones.ts'
import type { ObjectStore } from '../../stores/object-store.ts'
import { parseBlockMeta, parseThanosFiles } from '../../tsdb/block-meta.ts'
import type { LabelledDeletion } from '../../tsdb/cut-block.ts'
import { labelsOfSeries } from '../../tsdb/index-labels.ts'
import { receiveFile } from '../../tsdb/receive-file.ts'
import { withScratchDirectory } from '../../tsdb/restore-directory.ts'
import { parseTombstones } from '../../tsdb/tombstones.ts'
import type { SeriesRefs } from '../../tsdb/wal/series-refs.ts'
import type { TombstoneEntry } from '../../tsdb/wal/tombstones-record.ts'

/** Deletions in a block whose samples come from the log. */
export interface LogDeletion {
  ulid: string
  /** Of the block's `tombstones`. */
  sha256: string
  sizeBytes: number
}

export interface LogDeletionsRequest {
  store: ObjectStore
  instance: string
  /** Of the log that is written: all that it has. */
  refs: SeriesRefs
  /** Earlier samples come from blocks of the recovery point, ms; null where none come along. */
  boundMs: number | null
  /** Where an index may lie for a while. */
  staging: string
  signal: AbortSignal
}

export interface AppliedDeletions {
  /** What the log has to say for the blocks' deletions. */
  entries: TombstoneEntry[]
  /** Those that reach back before it, by labels: blocks of the recovery point went into a block that was merged since. */
  earlier: LabelledDeletion[]
  /** Blocks whose deletions are not in them, and why. */
  unapplied: { ulid: string; reason: string }[]
}

/**
 * What deletes in the log the samples that were deleted in blocks cut from it since. Tombstones name series by a block's own references:
 * its index, which is in the repository where any recovery point has the block, says which labels those are. A deletion ends with the block it is
 * in, so that it may come after all of the log: nothing in order was logged for that time after the block was cut.
 * @throws STORE_*, DISK_FULL, FILE_SYSTEM, the signal's reason
 */
export async function deletionsInLog(deletions: readonly LogDeletion[], request: LogDeletionsRequest): Promise<AppliedDeletions> {
  const applied: AppliedDeletions = { entries: [], earlier: [], unapplied: [] }
  for (const deletion of deletions) {
    try {
      const found = await entriesOf(deletion, request)
      if (typeof found === 'string') applied.unapplied.push({ ulid: deletion.ulid, reason: found })
      else {
        // One by one: a deletion may be of more series than a call takes arguments.
        for (const entry of found.entries) applied.entries.push(entry)
        for (const deletion of found.earlier) applied.earlier.push(deletion)
      }
    } catch (error) {
      if (!hasCode(error, 'DAMAGED', 'OBJECT_NOT_FOUND')) throw error
      applied.unapplied.push({ ulid: deletion.ulid, reason: hasCode(error, 'OBJECT_NOT_FOUND') ? 'the block is not in the repository' : messageOf(error) })
    }
  }
  return applied
}

/** Why there can be none, otherwise. */
async function entriesOf(deletion: LogDeletion, { store, instance, refs, boundMs, staging, signal }: LogDeletionsRequest): Promise<Omit<AppliedDeletions, 'unapplied'> | string> {
  const prefix = blockPrefix(deletion.ulid)
  const meta = parseBlockMeta((await readStoredMeta(store, prefix, { signal })).text, deletion.ulid)
  if (!isInOrder(meta)) return 'its samples came out of order, and a server deletes none of those in its log'
  const index = parseThanosFiles(meta).find(({ relPath }) => relPath === 'index')
  if (index?.sha256 === undefined) return 'it has no index whose digest is known'
  const tombstones = parseTombstones(await readTombstones(store, instance, { ...deletion, signal }))
  return withScratchDirectory(staging, async (directory) => {
    const path = join(directory, 'index')
    await receiveFile(path, {
      sizeBytes: index.sizeBytes, sha256: index.sha256, signal, onBytes: () => undefined,
      open: async (startByte) => (await store.get(`${prefix}index`, { range: { start: startByte }, signal })).body,
    })
    const labels = await labelsOfSeries(path, new Set(tombstones.map(({ seriesRef }) => Number(seriesRef))), { signal })
    if (labels === undefined) return 'its index is of version 1'
    const entries = tombstones.flatMap(({ seriesRef, mint, maxt }) => {
      const known = labels.get(Number(seriesRef))
      const ref = known && refs.refOfLabels(known)
      // A series that is not in the log has nothing in it to delete.
      return ref === undefined ? [] : [{ ref, mint, maxt }]
    })
    const earlier = tombstones.flatMap(({ seriesRef, mint, maxt }) => {
      const known = labels.get(Number(seriesRef))
      return known === undefined || boundMs === null || mint >= BigInt(boundMs) ? [] : [{ labels: known, mint, maxt }]
    })
    return { entries, earlier }
  })
}
