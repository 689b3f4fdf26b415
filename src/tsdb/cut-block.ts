import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../errors.ts'
import { writeDurably } from './durable-files.ts'
import { dataFileError, onDataFile } from './file-errors.ts'
import { type IndexLabels, refsOfLabels } from './index-labels.ts'
import { visitSeries } from './index-series.ts'
import { type Tombstone, encodeTombstones, parseTombstones } from './tombstones.ts'

export interface BlockCut {
  /** Samples later than this, ms, are deleted; one at this very millisecond stays. */
  afterMs: number
  /** End of the block's range, ms. */
  maxTime: number
  signal?: AbortSignal | undefined
}

export interface CutOutcome {
  /** Series that have something after the moment. */
  cutSeries: number
  /**
   * Time of the newest sample that is known to be left, ms; undefined when none is. Only the ends of chunks are known, so that it may be
   * too early, and is never too late.
   */
  newestSampleMs: number | undefined
}

/**
 * Cuts a block at a moment by its `tombstones`, which Prometheus honours in every answer and applies when it compacts: the block keeps its
 * ULID, its files and what was deleted in it before.
 * @throws DAMAGED, DATA_DIR_UNREADABLE, DISK_FULL, FILE_SYSTEM
 */
export async function cutBlock(directory: string, cut: BlockCut): Promise<CutOutcome> {
  const path = join(directory, 'tombstones')
  const before = await readTombstones(path)
  const cuts: Tombstone[] = []
  let newest: number | undefined
  const deleted = new Set(before.map(({ seriesRef }) => Number(seriesRef)))
  await visitSeries(join(directory, 'index'), ({ ref, chunks }) => {
    let reaches = false
    chunks((firstMs, lastMs) => {
      const known = lastMs <= cut.afterMs ? lastMs : firstMs <= cut.afterMs ? firstMs : undefined
      if (lastMs > cut.afterMs) reaches = true
      if (known !== undefined && !deleted.has(ref) && (newest === undefined || known > newest)) newest = known
    })
    if (reaches) cuts.push({ seriesRef: BigInt(ref), mint: BigInt(cut.afterMs) + 1n, maxt: BigInt(cut.maxTime) })
  }, cut)
  if (cuts.length > 0) await writeDurably(path, encodeTombstones([...before, ...cuts]))
  return { cutSeries: cuts.length, newestSampleMs: newest }
}

/** A deletion in whatever series has these labels, which are in the order of their names. The bounds, both included, are ms. */
export interface LabelledDeletion {
  labels: IndexLabels
  mint: bigint
  maxt: bigint
}

/** Deletes more in a block. @returns how many of the series it has @throws as `cutBlock` */
export async function deleteInBlock(directory: string, deletions: readonly LabelledDeletion[], options: { signal?: AbortSignal | undefined } = {}): Promise<number> {
  const path = join(directory, 'tombstones')
  const refs = await refsOfLabels(join(directory, 'index'), deletions.map(({ labels }) => labels), options)
  const added = deletions.flatMap(({ mint, maxt }, at) => (refs[at] === undefined ? [] : [{ seriesRef: BigInt(refs[at]), mint, maxt }]))
  if (added.length > 0) await writeDurably(path, encodeTombstones([...(await readTombstones(path)), ...added]))
  return added.length
}

/** Undoes every deletion in a block. */
export async function removeTombstones(directory: string): Promise<void> {
  await onDataFile(directory, rm(join(directory, 'tombstones'), { force: true }))
}

async function readTombstones(path: string): Promise<Tombstone[]> {
  try {
    return parseTombstones(await readFile(path), path)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw systemCode(error) === undefined ? error : dataFileError(error, path)
  }
}
